"""Files of other kinds are recognized by their content, whatever their names are."""
from __future__ import annotations

import io
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import SHARED_DATA
from tfpoets.graphs import find_placeholder, identify_file

LFS_POINTER = (b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n")


def archive(*names: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as writer:
        for name in names:
            writer.writestr(name, "content")
    return content.getvalue()


def tar() -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as writer:
        writer.addfile(tarfile.TarInfo("x"))
    return content.getvalue()


def photo() -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (8, 8)).save(content, "JPEG")
    return content.getvalue()


def array() -> bytes:
    content = io.BytesIO()
    np.save(content, np.zeros(3))
    return content.getvalue()


def field(number: int, content: bytes) -> bytes:
    """Return a field of a protocol buffer."""
    tag = number << 3 | 2
    return bytes([tag]) + bytes([len(content)]) + content if tag < 128 else \
        bytes([tag & 127 | 128, tag >> 7]) + bytes([len(content)]) + content


EXAMPLES: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", "empty"),
    "zeros": (lambda: b"\0" * 5000, "zeros"),
    "Git LFS": (lambda: LFS_POINTER, "git lfs pull"),
    "git-annex": (lambda: b"/annex/objects/SHA256E-s1--ab.pb\n", "git annex get"),
    "DVC": (lambda: b"outs:\n- md5: 12\n  path: x.pb\n", "dvc pull"),
    "web page": (lambda: b"\n\n<!DOCTYPE html>\n<html><body>Please log in</body></html>", "web page"),
    "server error": (lambda: b"<?xml version='1.0'?>\n<Error><Code>AccessDenied</Code></Error>", "error message"),
    "HDF5": (lambda: b"\x89HDF\r\n\x1a\n" + bytes(100), "Keras model (HDF5)"),
    "HDF5 after a user block": (lambda: bytes([1]) * 512 + b"\x89HDF\r\n\x1a\n" + bytes(100), "Keras model (HDF5)"),
    "keras": (lambda: archive("metadata.json", "config.json", "model.weights.h5"), "Keras model (.keras)"),
    "torch": (lambda: archive("model/data.pkl", "model/version", "model/data/0"), "PyTorch"),
    "old torch": (lambda: b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.", "PyTorch"),
    "pickle": (lambda: pickle.dumps({"a": 1}), "pickled"),
    "npz": (lambda: archive("arr_0.npy"), "NumPy"),
    "npy": (array, "NumPy"),
    "mlpackage": (lambda: archive("m.mlpackage/Data/com.apple.CoreML/model.mlmodel"), "Core ML"),
    "zip": (lambda: archive("readme", "x/y.pb"), "zip archive"),
    "empty zip": (lambda: archive(), "zip archive"),
    "truncated zip": (lambda: archive("a" * 100)[:60], "zip archive"),
    "tar": (tar, "archive"),
    "gzip": (lambda: b"\x1f\x8b\x08\0\0\0\0\0", "archive"),
    "safetensors": (lambda: (20).to_bytes(8, "little") + b'{"a":{"dtype":"F32"}' + bytes(9), "safetensors"),
    "ONNX": (lambda: b"\x08\x08" + field(2, b"pytorch") + field(7, b"\n\x03abc") + field(8, b"\x10\x11"), "ONNX"),
    "mlmodel": (lambda: b"\x08\x04" + field(2, b"\n\x05image") + field(500, b"layers"), "Core ML"),
    "saved_model.pb": (lambda: b"\x08\x01" + field(2, b"\n\x07\n\x05serve"), "SavedModel"),
    "tflite": (lambda: b"\x1c\0\0\0TFL3" + bytes(100), "TensorFlow Lite"),
    "metadata": (lambda: b'{\n  "format": "tfpoets-classifier",\n  "labels": []}', "metadata of a classifier"),
    "TensorFlow.js": (lambda: b'{"format": "graph-model", "modelTopology": {}}', "TensorFlow.js"),
    "text": (lambda: "daisy\nrosé\n".encode(), "text file"),
    "text in UTF-16": (lambda: "daisy\nroses\n".encode("utf-16"), "text file"),
    "text that is cut off in a character": (lambda: ("a" * 4095 + "ü").encode(), "text file"),
    "pbtxt": (lambda: b'node {\n  name: "x"\n}\n', "text format"),
    "photo": (photo, "photo"),
    "SQLite": (lambda: b"SQLite format 3\0" + bytes(100), "database"),
    "PDF": (lambda: b"%PDF-1.7\n\xe2\xe3", "PDF"),
    "program": (lambda: b"\x7fELF" + bytes(100), "program"),
    "macOS": (lambda: b"\0\x05\x16\x07\0\x02\0\0Mac OS X", "macOS"),
    "checkpoint": (lambda: b"\x01" * 60 + bytes.fromhex("57fb808b247547db"), "checkpoint"),
    "video": (lambda: b"\0\0\0\x18ftypisom\0\0\0\0", "video"),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_file_is_recognized_by_its_content(name: str, tmp_path: Path) -> None:
    content, expected = EXAMPLES[name][0](), EXAMPLES[name][1]
    (tmp_path / "graph.pb").write_bytes(content)
    for source in (content, tmp_path / "graph.pb"):
        kind = identify_file(source)
        assert kind is not None and expected in f"{kind.description}. {kind.classifier_remedy}"
        assert kind.extractor_remedy.endswith((".", "pull"))


GRAPHS = {"small": b"\n\x1d\n\x05input\x12\x0bPlaceholder", "library first": b"\x12\x04\n\x02ab\n\x03\n\x01x",
          "unknown": bytes(range(3, 255)) * 5}


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_is_not_mistaken_for_another_kind(name: str) -> None:
    assert identify_file(GRAPHS[name]) is None


@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="needs the real graphs in ../shared/data")
def test_real_graphs_are_not_mistaken_for_another_kind() -> None:
    graphs = [path for path in SHARED_DATA.glob("*/**/*.pb") if path.name not in ("saved_model.pb", "fingerprint.pb")]
    assert len(graphs) > 2
    assert [path for path in graphs if identify_file(path) is not None] == []


def test_a_placeholder_in_a_saved_model_is_found(tmp_path: Path) -> None:
    (tmp_path / "variables").mkdir()
    (tmp_path / "saved_model.pb").write_bytes(EXAMPLES["saved_model.pb"][0]())
    (tmp_path / "variables" / "variables.index").write_bytes(EXAMPLES["checkpoint"][0]())
    assert find_placeholder(tmp_path) is None
    (tmp_path / "variables" / "variables.data-00000-of-00001").write_bytes(LFS_POINTER)
    file, kind = find_placeholder(tmp_path)
    assert file.name == "variables.data-00000-of-00001" and "Git LFS" in kind.description
