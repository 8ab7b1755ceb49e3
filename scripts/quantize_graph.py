"""python -m scripts.quantize_graph: the same as `tfpoets quantize_graph`, under its old name."""
import sys

from tfpoets.cli.quantize_graph import main

if __name__ == "__main__":
    sys.exit(main())
