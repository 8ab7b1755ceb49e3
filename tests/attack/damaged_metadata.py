"""Damaged metadata of classifiers: what is wrong with it, and its bytes; and damaged archives in .tflite files."""
from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

ENTRY = "metadata.json"


def damaged_texts(valid: dict[str, Any]) -> dict[str, bytes]:
    """Return damaged metadata by what is wrong with it, given valid metadata."""
    def changed(**values: Any) -> bytes:
        return json.dumps({**valid, **values}).encode()
    nested = 100_000
    return {
        "labels are a text": changed(labels="abc"), "labels are numbers": changed(labels=[1, 2, 3]),
        "one label": changed(labels=["a"]), "half a surrogate": changed(labels=["\ud800", "b", "c"]),
        "too few labels": changed(labels=valid["labels"][:-1]),
        "too many labels": changed(labels=[*valid["labels"], "d"]),
        "labels are null": changed(labels=None), "no object": b"[]", "empty": b"", "not JSON": b"{labels: 3}",
        "not UTF-8": b'{"labels": ["\xff\xfe"]}', "nested lists": b"[" * nested + b"]" * nested,
        "nested objects": b'{"a":' * nested + b"1" + b"}" * nested,
        "nested options": changed()[:-1] + b', "options": {"a": ' + b"[" * nested + b"]" * nested + b"}}",
        "huge number": changed(input={"height": 10 ** 4000, "width": 32, "pixels": 1}),
        "number with too many digits": b'{"format": ' + b"9" * 100_000 + b"}",
        "huge input": changed(input={"height": 10 ** 6, "width": 10 ** 6, "pixels": 1}),
        "negative input": changed(input={"height": -32, "width": 32, "pixels": 1}),
        "other input": changed(input={"height": 48, "width": 32, "pixels": 1}),
        "other format": changed(format="x"), "newer version": changed(schema_version=99),
        "nodes are null": changed(nodes=None), "truncated": changed()[:-100]}


def split_tflite(content: bytes) -> tuple[bytes, dict[str, Any]]:
    """Return the network of a .tflite without its archive, and the metadata in the archive."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        start = min(entry.header_offset for entry in archive.infolist())
        return content[:start], json.loads(archive.read(ENTRY))


def append(network: bytes, text: bytes, compression: int = zipfile.ZIP_STORED) -> bytes:
    """Return a .tflite with an archive that contains metadata."""
    file = io.BytesIO(network)
    with zipfile.ZipFile(file, "a", compression) as archive:
        archive.writestr(ENTRY, text)
    return file.getvalue()


def damaged_archives(content: bytes) -> dict[str, Callable[[], bytes]]:
    """Return functions that write .tflite files with damaged archives, by what is wrong with them."""
    network, metadata = split_tflite(content)
    text = json.dumps(metadata).encode()

    def replaced(old: bytes, new: bytes) -> bytes:
        """Change the last occurrence, which is in the directory at the end of the archive."""
        whole = append(network, text)
        position = whole.rfind(old)
        return whole[:position] + new + whole[position + len(old):]

    def encrypted() -> bytes:
        whole = bytearray(append(network, text))
        for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            whole[whole.rfind(signature) + offset] |= 1
        return bytes(whole)

    def twice() -> bytes:
        return append(append(network, text), b"[]")
    return {
        "unpacks to 80 MB": lambda: append(network, b" " * 80_000_000 + text, zipfile.ZIP_DEFLATED),
        "encrypted": encrypted, "truncated": lambda: append(network, text)[:-10],
        "other name": lambda: replaced(ENTRY.encode(), b"metadata.xyz\0"[:len(ENTRY)]),
        "name is not UTF-8": lambda: replaced(ENTRY.encode(), b"\xff" * len(ENTRY)),
        "two entries": twice, "checksum": lambda: append(network, text).replace(b'"labels"', b'"lapels"'),
        "no archive": lambda: network, "compressed": lambda: append(network, text, zipfile.ZIP_BZIP2)[:-300]}
