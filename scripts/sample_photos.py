"""python -m scripts.sample_photos: the same as `tfpoets sample_photos`, under its old name."""
import sys

from tfpoets.cli.sample_photos import main

if __name__ == "__main__":
    sys.exit(main())
