"""Run `tfpoets retrain` under its old name, `python -m scripts.retrain`."""
import sys

from tfpoets.cli.retrain import main

if __name__ == "__main__":
    sys.exit(main())
