"""Addresses of photos in cloud storage, such as s3://bucket/photos/daisy/1.jpg."""
from __future__ import annotations

import re
from pathlib import PurePosixPath

from tfpoets.errors import DataError
from tfpoets.files import check_no_credentials

# The schemes that are read, and the packages that fsspec needs for them.
PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "az": "adlfs", "abfs": "adlfs", "abfss": "adlfs"}
SCHEMES = "s3://, gs:// or az://"

_ADDRESS = re.compile(rf"({'|'.join(PACKAGES)})://", re.IGNORECASE)
_PATH = re.compile(rf"({'|'.join(PACKAGES)}):/", re.IGNORECASE)


class CloudPath(PurePosixPath):
    """An address, with the methods of a path. As a string, it keeps the two slashes of "s3://"."""

    def __str__(self) -> str:
        text = super().__str__()
        return f"{text[:text.index('/')]}//{text[text.index('/') + 1:]}" if _PATH.match(text) else text


def is_cloud_address(location: str) -> bool:
    """Return whether a location is an address in cloud storage."""
    return _ADDRESS.match(location) is not None


def scheme_of(address: str) -> str:
    """Return the scheme of an address: a key of PACKAGES."""
    return address.partition(":")[0].lower()


def bucket_of(address: CloudPath | str) -> str:
    """Return the address of the bucket that an address lies in."""
    return "/".join(str(address).split("/")[:3])


def parse_address(text: str) -> CloudPath:
    """Return an address without slashes at its end.

    Raises:
        DataError: It does not name a bucket.
        OptionError: It contains a password or a key.
    """
    check_no_credentials(text)
    rest = text.partition("://")[2].strip("/")
    if not rest:
        raise DataError(f"The address {text} does not name a bucket.",
                        f"Write {scheme_of(text)}://BUCKET/FOLDER.")
    return CloudPath(f"{scheme_of(text)}://{rest}")
