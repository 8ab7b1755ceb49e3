"""Run `tfpoets devices` as `python -m scripts.devices`."""
import sys

from tfpoets.cli.main import run_script

if __name__ == "__main__":
    sys.exit(run_script("devices"))
