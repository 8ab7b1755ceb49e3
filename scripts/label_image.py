"""Run `tfpoets label_image` under its old name, `python -m scripts.label_image`."""
import sys

from tfpoets.cli.label_image import main

if __name__ == "__main__":
    sys.exit(main())
