"""Run `tfpoets compare` as `python -m scripts.compare`, as in older command lines."""
import sys

from tfpoets.cli.main import run_script

if __name__ == "__main__":
    sys.exit(run_script("compare"))
