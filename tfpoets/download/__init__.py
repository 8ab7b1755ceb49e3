"""Download files and unpack archives; all downloads use this package, except that of CIFAR-10 by Keras."""
from .archive import extract_tar_gz, is_gzip
from .download import download_file, fetch_bytes

__all__ = ["download_file", "extract_tar_gz", "fetch_bytes", "is_gzip"]
