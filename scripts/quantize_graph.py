"""Run `tfpoets quantize_graph` as `python -m scripts.quantize_graph`, as in older command lines."""
import sys

from tfpoets.cli.quantize_graph import main

if __name__ == "__main__":
    sys.exit(main())
