"""Run `tfpoets sample_photos` as `python -m scripts.sample_photos`, as in older command lines."""
import sys

from tfpoets.cli.main import run_script

if __name__ == "__main__":
    sys.exit(run_script("sample_photos"))
