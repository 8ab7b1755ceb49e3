"""Run `tfpoets bottlenecks` as `python -m scripts.bottlenecks`."""
import sys

from tfpoets.cli.main import run_script

if __name__ == "__main__":
    sys.exit(run_script("bottlenecks"))
