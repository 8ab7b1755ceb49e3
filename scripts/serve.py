"""python -m scripts.serve: the same as `tfpoets serve`, under its old name."""
import sys

from tfpoets.cli.serve import main

if __name__ == "__main__":
    sys.exit(main())
