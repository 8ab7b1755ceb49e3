"""Run `tfpoets label_image` as `python -m scripts.label_image`, as in older command lines."""
import sys

from tfpoets.cli.label_image import main

if __name__ == "__main__":
    sys.exit(main())
