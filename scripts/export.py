"""Run `tfpoets export` under its old name, `python -m scripts.export`."""
import sys

from tfpoets.cli.export import main

if __name__ == "__main__":
    sys.exit(main())
