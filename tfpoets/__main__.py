"""Run a command with `python -m tfpoets COMMAND`, which is the same as `tfpoets COMMAND`."""
import sys

from tfpoets.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
