"""Run `tfpoets serve` as `python -m scripts.serve`, as in older command lines."""
import sys

from tfpoets.cli.serve import main

if __name__ == "__main__":
    sys.exit(main())
