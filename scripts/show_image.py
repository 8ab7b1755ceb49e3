"""Run `tfpoets show_image` as `python -m scripts.show_image`, as in older command lines."""
import sys

from tfpoets.cli.main import run_script

if __name__ == "__main__":
    sys.exit(run_script("show_image"))
else:
    from tfpoets.cli.show_image import main, show_image  # noqa: F401 - old notebooks import show_image from here
