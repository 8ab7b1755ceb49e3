"""python -m scripts.doctor: the same as `tfpoets doctor`, under its old name."""
import sys

from tfpoets.cli.doctor import main

if __name__ == "__main__":
    sys.exit(main())
