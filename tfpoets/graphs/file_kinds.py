"""Recognize files that are not graphs or classifiers, and state what to do with them.

The content of a file determines its kind. Nothing in the file is executed.
"""
from __future__ import annotations

import io
import os
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tfpoets.data import NotTextError, decode_text, has_photo_signature

# How many bytes from the beginning of a file, and how many names in an archive, are compared with the patterns.
HEAD_BYTES = 4096
MAX_NAMES_IN_ARCHIVE = 100_000
# The characters that a text file does not contain.
_CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
# The signature of HDF5 may follow a block of another program (HDF5 file format 3.0, II.A).
HDF5_OFFSETS = (0, 512, 1024, 2048)

OURS = "Use a .tflite file, a .pb file or a SavedModel folder that retrain wrote."
MODULE = "Use the folder of a SavedModel, or omit the option to use the default network."
PYTORCH, CORE_ML, ONNX = (f"{name} models cannot be used. " for name in ("PyTorch", "Core ML", "ONNX"))
COPY_AGAIN = "Copy or download it again."
UNPACK = "Unpack it, and use the file or folder inside."
FROM_KERAS = "In Python, export it with tfpoets.wrap(keras.models.load_model(FILE), LABELS).export(...)."
KERAS_MODULE = "In Python, write a file whose name ends in .keras with keras.models.load_model(FILE).save(...)."


@dataclass(frozen=True)
class FileKind:
    """A kind of file that is neither a graph nor a classifier.

    Attributes:
        description: What the file is, as the end of a sentence whose subject is the file.
        classifier_remedy: What to do if a classifier or a graph is needed.
        extractor_remedy: What to do if a pretrained network is needed.
        matches: Returns whether a file is of this kind, given its first HEAD_BYTES bytes and the open file.
        is_placeholder: Whether the file stands for another one that was not copied or downloaded.
    """

    description: str
    classifier_remedy: str
    extractor_remedy: str
    matches: Callable[[bytes, BinaryIO], bool]
    is_placeholder: bool = False


def identify_file(source: Path | bytes) -> FileKind | None:
    """Return the kind of a file that is not a graph, or None if it may be a frozen graph, or cannot be read.

    Args:
        source: The path of the file, or its content.
    """
    if isinstance(source, Path) and not source.is_file():  # a named pipe would be waited for
        return None
    try:
        with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file:
            head = file.read(HEAD_BYTES)
            return next((kind for kind in FILE_KINDS if kind.matches(head, file)), None)
    except OSError:
        return None


def find_placeholder(path: Path) -> tuple[Path, FileKind] | None:
    """Return the first file in a SavedModel folder that stands for another one, with its kind, or None."""
    files = [path / "saved_model.pb", *(file for folder in ("variables", "assets.extra")
                                        for file in sorted((path / folder).glob("*")))]
    for file in files:
        # Git LFS pointers and web pages are small.
        if file.is_file() and file.stat().st_size < 1 << 20:
            kind = identify_file(file)
            if kind is not None and kind.is_placeholder:
                return file, kind
    return None


def _magic(*patterns: bytes) -> Callable[[bytes, BinaryIO], bool]:
    """Return a recognizer of files whose beginning matches one of the regular expressions."""
    pattern = re.compile(b"|".join(patterns), re.DOTALL)
    return lambda head, file: pattern.match(head) is not None


def _text(*patterns: str) -> Callable[[bytes, BinaryIO], bool]:
    """Return a recognizer of text files whose beginning matches one of the regular expressions.

    Case and white space at the beginning are ignored.
    """
    pattern = re.compile("|".join(patterns), re.IGNORECASE | re.DOTALL)

    def matches(head: bytes, file: BinaryIO) -> bool:
        text = _decode(head)
        return text is not None and pattern.match(text.lstrip()) is not None
    return matches


def _decode(head: bytes) -> str | None:
    """Return the beginning of a text file, or None for a binary file. A GraphDef contains control characters."""
    try:
        text = decode_text(head, is_complete=False)
    except NotTextError:
        return None
    return None if _CONTROL_CHARACTERS.search(text) or not text else text


def _archive(*patterns: str) -> Callable[[bytes, BinaryIO], bool]:
    """Return a recognizer of zip archives with a member whose name matches one of the regular expressions."""
    pattern = re.compile("|".join(patterns))

    def matches(head: bytes, file: BinaryIO) -> bool:
        if not head.startswith(b"PK"):
            return False
        try:
            with zipfile.ZipFile(file) as archive:
                return any(pattern.search(name) for name in archive.namelist()[:MAX_NAMES_IN_ARCHIVE])
        except Exception:  # a damaged archive can make zipfile raise nearly anything
            return False
    return matches


def _is_hdf5(head: bytes, file: BinaryIO) -> bool:
    return any(head[offset:offset + 8] == b"\x89HDF\r\n\x1a\n" for offset in HDF5_OFFSETS)


def _is_safetensors(head: bytes, file: BinaryIO) -> bool:
    """Return whether a file begins with the length of a JSON header and the header (huggingface/safetensors)."""
    length = int.from_bytes(head[:8], "little")
    return head[8:10] in (b'{"', b"{}", b"{ ") and length <= file.seek(0, os.SEEK_END) - 8


def _protobuf(required: set[int], is_allowed: Callable[[set[int]], bool]) -> Callable[[bytes, BinaryIO], bool]:
    """Return a recognizer of protocol buffers that begin with a version number (field 1), by their other fields."""
    def matches(head: bytes, file: BinaryIO) -> bool:
        if head[:1] != b"\x08":
            return False
        fields = _top_level_fields(file)
        return required <= fields and is_allowed(fields)
    return matches


def _top_level_fields(file: BinaryIO) -> set[int]:
    """Return the numbers of the fields of a protocol buffer, empty if it is not one (protobuf.dev, Encoding)."""
    fields: set[int] = set()
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    while (tag := _read_varint(file)) is not None:
        fields.add(tag >> 3)
        wire_type = tag & 7
        number = _read_varint(file) if wire_type in (0, 2) else None
        length = {0: 0, 1: 8, 2: number, 5: 4}.get(wire_type)
        if length is None or tag >> 3 == 0:
            return set()
        if file.seek(length, os.SEEK_CUR) >= size:
            return fields
    return fields


def _read_varint(file: BinaryIO) -> int | None:
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            return None
        value |= (byte[0] & 127) << shift
        if byte[0] < 128:
            return value
    return None


def _is_checkpoint(head: bytes, file: BinaryIO) -> bool:
    """Return whether a file is the index of a TensorFlow checkpoint, a table of LevelDB (table_format.md, footer)."""
    if file.seek(0, os.SEEK_END) < 48:
        return False
    file.seek(-8, os.SEEK_END)
    return file.read(8) == bytes.fromhex("57fb808b247547db")


# The first kind that matches is used, so specific kinds precede general ones.
FILE_KINDS = (
    FileKind("is empty", COPY_AGAIN, COPY_AGAIN, lambda head, file: not head, True),
    FileKind("contains only zeros", COPY_AGAIN, COPY_AGAIN, lambda head, file: not head.strip(b"\0"), True),
    FileKind("is a Git LFS pointer, which stands for a file that was not downloaded",
             "Run in its repository: git lfs pull", "Run in its repository: git lfs pull",
             _text(r"version https://(git-lfs|hawser)\.github\.com/"), True),
    FileKind("is a git-annex pointer, which stands for a file that was not downloaded",
             "Run in its repository: git annex get .", "Run in its repository: git annex get .",
             _text(r"\S*/annex/objects/"), True),
    FileKind("is a DVC pointer, which stands for a file that was not downloaded",
             "Run in its repository: dvc pull", "Run in its repository: dvc pull",
             _text(r"(md5: \w+\s+)?(frozen: \w+\s+)?outs:\s*- (md5|etag|hash|size|path):"), True),
    FileKind("is a web page, which was saved instead of the file",
             "Download the file itself, if necessary after logging in.",
             "Download the file itself, if necessary after logging in.",
             _text(r"(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*<(!doctype\s+html|html|head|body|meta|script)\b"), True),
    FileKind("is an error message of a server, which was saved instead of the file", COPY_AGAIN, COPY_AGAIN,
             _text(r"(<\?xml[^>]*>\s*)?<Error>", r'\{"(error|message|detail)"\s*:'), True),
    FileKind("is a TensorFlow Lite model", "Use the graph (.pb).",
             "It cannot be used as a pretrained network. " + MODULE, _magic(rb".{4}TFL3")),
    FileKind("is a Keras model (HDF5)", FROM_KERAS, KERAS_MODULE, _is_hdf5),
    FileKind("is a Keras model (.keras)", FROM_KERAS, KERAS_MODULE, _archive(r"(^|/)model\.weights\.h5$")),
    FileKind("is a PyTorch model", PYTORCH + OURS, PYTORCH + MODULE,
             _archive(r"(^|/)data\.pkl$", r"(^|/)constants\.pkl$")),
    FileKind("is a PyTorch model", PYTORCH + OURS, PYTORCH + MODULE,
             _magic(rb"\x80.\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19\.", rb"\x80[\x02-\x05].{0,64}?ctorch",
                    rb"\x80[\x02-\x05].{0,64}collections\s?\n?.{0,4}OrderedDict")),
    FileKind("is a pickled Python object, which is not loaded, because it could run arbitrary code", OURS, MODULE,
             _magic(rb"\x80[\x02-\x05]")),
    FileKind("is an archive of NumPy arrays", OURS, MODULE, _archive(r"\.npy$")),
    FileKind("is a NumPy array", OURS, MODULE, _magic(rb"\x93NUMPY")),
    FileKind("is a Core ML model", CORE_ML + OURS, CORE_ML + MODULE,
             _archive(r"com\.apple\.CoreML/", r"\.mlmodel$", r"\.mlmodelc/")),
    FileKind("is a zip archive", UNPACK, UNPACK, _magic(rb"PK\x03\x04", rb"PK\x05\x06")),
    FileKind("is a compressed archive", UNPACK, "Repack it as a .tar.gz, or unpack it and use the folder inside.",
             lambda head, file: head[257:262] == b"ustar" or re.match(
                 rb"\x1f\x8b|BZh[1-9]|\xfd7zXZ\x00|7z\xbc\xaf\x27\x1c|Rar!\x1a\x07|\x28\xb5\x2f\xfd", head)
             is not None),
    FileKind("is a file in the safetensors format, which contains only weights", OURS, MODULE, _is_safetensors),
    FileKind("is a language model (GGUF)", OURS, MODULE, _magic(rb"GGUF")),
    FileKind("is a PDF document", OURS, MODULE, _magic(rb"%PDF-")),
    FileKind("is a database", OURS, MODULE, _magic(rb"SQLite format 3\0")),
    FileKind("is a program", OURS, MODULE,
             _magic(rb"\x7fELF", rb"MZ.{58}", rb"\xcf\xfa\xed\xfe", rb"\xca\xfe\xba\xbe")),
    FileKind("contains only data that macOS stores beside a file (its name begins with ._)",
             "Use the file without ._ at the beginning of its name.",
             "Use the file without ._ at the beginning of its name.", _magic(rb"\x00\x05\x16[\x00\x07]")),
    FileKind("is the metadata of a classifier", "Use the .tflite or .pb next to it.", MODULE,
             _text(r'\{.*"format"\s*:\s*"(tfpoets-classifier|poets-classifier-1)"')),
    FileKind("is a TensorFlow.js model", "Use the .tflite or .pb that it was made from.", MODULE,
             _text(r'\{.*"(modelTopology|weightsManifest)"', r'\{.*"format"\s*:\s*"(graph|layers)-model"')),
    FileKind("is the architecture of a Keras model, without its weights", FROM_KERAS, KERAS_MODULE,
             _text(r'\{.*"class_name"\s*:')),
    FileKind("is a graph in text format", "Convert it to a frozen graph (.pb) with tf.io.write_graph(..., "
             "as_text=False).", MODULE,
             _text(r"(#[^\n]*\n\s*)*(node|graph_def|saved_model_schema_version|meta_graphs)\s*[{:]")),
    FileKind("is a text file", OURS, MODULE, _text("")),
    FileKind("is an ONNX model", ONNX + OURS, ONNX + MODULE,
             _protobuf({1, 7}, lambda fields: max(fields) < 100)),
    FileKind("is a Core ML model", CORE_ML + OURS, CORE_ML + MODULE,
             _protobuf({1}, lambda fields: max(fields) >= 200)),
    FileKind("is one file of a SavedModel", "Use the folder that contains it.", "Use the folder that contains it.",
             _protobuf({1, 2}, lambda fields: fields == {1, 2})),
    FileKind("is one file of a TensorFlow checkpoint", OURS, MODULE, _is_checkpoint),
    FileKind("is a photo", OURS, MODULE, lambda head, file: has_photo_signature(head)),
    FileKind("is a video or audio file", OURS, MODULE,
             _magic(rb".{4}ftyp", rb"RIFF.{4}(AVI |WAVE)", rb"\x1aE\xdf\xa3", rb"ID3")),
)
