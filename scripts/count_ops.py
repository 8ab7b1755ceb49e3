"""Run `tfpoets count_ops` under its old name, `python -m scripts.count_ops`."""
import sys

from tfpoets.cli.count_ops import main

if __name__ == "__main__":
    sys.exit(main())
