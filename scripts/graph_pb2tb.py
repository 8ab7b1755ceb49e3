"""Run `tfpoets graph_pb2tb` as `python -m scripts.graph_pb2tb`, as in older command lines."""
import sys

from tfpoets.cli.main import run_script

if __name__ == "__main__":
    sys.exit(run_script("graph_pb2tb"))
