"""Run `tfpoets count_ops` as `python -m scripts.count_ops`, as in older command lines."""
import sys

from tfpoets.cli.count_ops import main

if __name__ == "__main__":
    sys.exit(main())
