"""python -m scripts.evaluate: the same as `tfpoets evaluate`, under its old name."""
import sys

from tfpoets.cli.evaluate import main

if __name__ == "__main__":
    sys.exit(main())
