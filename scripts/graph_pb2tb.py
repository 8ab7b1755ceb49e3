"""python -m scripts.graph_pb2tb: the same as `tfpoets graph_pb2tb`, under its old name."""
import sys

from tfpoets.cli.graph_pb2tb import main

if __name__ == "__main__":
    sys.exit(main())
