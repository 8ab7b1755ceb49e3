"""Run `tfpoets evaluate` under its old name, `python -m scripts.evaluate`."""
import sys

from tfpoets.cli.evaluate import main

if __name__ == "__main__":
    sys.exit(main())
