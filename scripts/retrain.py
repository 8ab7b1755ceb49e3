"""python -m scripts.retrain: the same as `tfpoets retrain`, under its old name."""
import sys

from tfpoets.cli.retrain import main

if __name__ == "__main__":
    sys.exit(main())
