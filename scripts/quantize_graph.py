"""Run `tfpoets quantize_graph` under its old name, `python -m scripts.quantize_graph`."""
import sys

from tfpoets.cli.quantize_graph import main

if __name__ == "__main__":
    sys.exit(main())
