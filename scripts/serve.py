"""Run `tfpoets serve` as `python -m scripts.serve`, as in older command lines."""
import sys

from tfpoets.cli.main import run_script

if __name__ == "__main__":
    sys.exit(run_script("serve"))
