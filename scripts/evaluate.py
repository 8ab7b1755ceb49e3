"""Run `tfpoets evaluate` as `python -m scripts.evaluate`, as in older command lines."""
import sys

from tfpoets.cli.evaluate import main

if __name__ == "__main__":
    sys.exit(main())
