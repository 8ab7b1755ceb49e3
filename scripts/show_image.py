"""Run `tfpoets show_image` as `python -m scripts.show_image`, as in older command lines."""
import sys

from tfpoets.cli.show_image import main, show_image  # noqa: F401 - old notebooks import show_image from here

if __name__ == "__main__":
    sys.exit(main())
