"""Run `tfpoets devices` as `python -m scripts.devices`."""
import sys

from tfpoets.cli.devices import main

if __name__ == "__main__":
    sys.exit(main())
