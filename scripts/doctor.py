"""Run `tfpoets doctor` under its old name, `python -m scripts.doctor`."""
import sys

from tfpoets.cli.doctor import main

if __name__ == "__main__":
    sys.exit(main())
