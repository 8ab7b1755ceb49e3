"""Run `tfpoets retrain` as `python -m scripts.retrain`, as in older command lines."""
import sys

from tfpoets.cli.retrain import main

if __name__ == "__main__":
    sys.exit(main())
