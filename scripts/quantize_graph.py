"""Run `tfpoets quantize_graph` as `python -m scripts.quantize_graph`, as in older command lines."""
import sys

from tfpoets.cli.main import run_script

if __name__ == "__main__":
    sys.exit(run_script("quantize_graph"))
