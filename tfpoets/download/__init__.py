"""Download files and unpack archives; the only code that opens network connections."""
from .archive import extract_tar_gz, is_gzip
from .download import download_file, fetch_bytes

__all__ = ["download_file", "extract_tar_gz", "fetch_bytes", "is_gzip"]
