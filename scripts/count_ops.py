"""Run `tfpoets count_ops` as `python -m scripts.count_ops`, as in older command lines."""
import sys

from tfpoets.cli.main import run_script

if __name__ == "__main__":
    sys.exit(run_script("count_ops"))
