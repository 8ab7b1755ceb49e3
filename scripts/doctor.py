"""Run `tfpoets doctor` as `python -m scripts.doctor`, as in older command lines."""
import sys

from tfpoets.cli.main import run_script

if __name__ == "__main__":
    sys.exit(run_script("doctor"))
