"""Run `tfpoets graph_pb2tb` as `python -m scripts.graph_pb2tb`, as in older command lines."""
import sys

from tfpoets.cli.graph_pb2tb import main

if __name__ == "__main__":
    sys.exit(main())
