"""python -m tfpoets COMMAND: the same as `tfpoets COMMAND`."""
import sys

from tfpoets.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
