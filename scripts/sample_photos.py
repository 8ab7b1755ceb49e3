"""Run `tfpoets sample_photos` as `python -m scripts.sample_photos`, as in older command lines."""
import sys

from tfpoets.cli.sample_photos import main

if __name__ == "__main__":
    sys.exit(main())
