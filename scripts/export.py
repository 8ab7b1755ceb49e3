"""python -m scripts.export: the same as `tfpoets export`, under its old name."""
import sys

from tfpoets.cli.export import main

if __name__ == "__main__":
    sys.exit(main())
