"""Run `tfpoets serve` under its old name, `python -m scripts.serve`."""
import sys

from tfpoets.cli.serve import main

if __name__ == "__main__":
    sys.exit(main())
