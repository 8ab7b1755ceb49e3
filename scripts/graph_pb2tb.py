"""Run `tfpoets graph_pb2tb` under its old name, `python -m scripts.graph_pb2tb`."""
import sys

from tfpoets.cli.graph_pb2tb import main

if __name__ == "__main__":
    sys.exit(main())
