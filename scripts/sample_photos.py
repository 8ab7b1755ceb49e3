"""Run `tfpoets sample_photos` under its old name, `python -m scripts.sample_photos`."""
import sys

from tfpoets.cli.sample_photos import main

if __name__ == "__main__":
    sys.exit(main())
