"""Scripts that run the commands of `tfpoets.cli` under the names of older command lines."""
