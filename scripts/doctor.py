"""Run `tfpoets doctor` as `python -m scripts.doctor`, as in older command lines."""
import sys

from tfpoets.cli.doctor import main

if __name__ == "__main__":
    sys.exit(main())
