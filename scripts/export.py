"""Run `tfpoets export` as `python -m scripts.export`, as in older command lines."""
import sys

from tfpoets.cli.export import main

if __name__ == "__main__":
    sys.exit(main())
