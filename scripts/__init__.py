"""Scripts that run the commands of `tfpoets.cli` as `python -m scripts.NAME`, as in older command lines."""
