"""Run `tfpoets label_image` as `python -m scripts.label_image`, as in older command lines."""
import sys

from tfpoets.cli.main import run_script

if __name__ == "__main__":
    sys.exit(run_script("label_image"))
