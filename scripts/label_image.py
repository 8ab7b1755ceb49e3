"""python -m scripts.label_image: the same as `tfpoets label_image`, under its old name."""
import sys

from tfpoets.cli.label_image import main

if __name__ == "__main__":
    sys.exit(main())
