"""python -m scripts.count_ops: the same as `tfpoets count_ops`, under its old name."""
import sys

from tfpoets.cli.count_ops import main

if __name__ == "__main__":
    sys.exit(main())
