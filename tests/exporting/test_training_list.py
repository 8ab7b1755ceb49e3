"""The list of the training photos of a large dataset is a file beside the classifier, which all readers find."""
from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.exporting.conftest import ExportInputs
from tfpoets.cli.quantize_graph import write_rounded
from tfpoets.data import photo_digest
from tfpoets.errors import ModelError
from tfpoets.exporting import (ExportOptions, ExportResult, Metadata, SplitInfo, convert, export_classifier,
                               open_graph, training_list, training_photo_mask)
from tfpoets.inference import Classifier, load_classifier

NAME = "graph.trained_on.txt"


@pytest.fixture
def separate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a file for more than 5 photos."""
    monkeypatch.setattr(training_list, "MAX_DIGESTS_IN_METADATA", 5)


def metadata_of(classifier: Classifier) -> Metadata:
    assert classifier.metadata is not None
    return classifier.metadata


def test_small_lists_are_part_of_the_metadata(exported: ExportResult, destinations: ExportOptions) -> None:
    split = json.loads(destinations.metadata.read_text())["split"]
    assert json.loads(destinations.metadata.read_text())["schema_version"] == 2
    assert len(split["trained_on"]) > 0 and "trained_on_file" not in split
    assert not destinations.training_list.exists() and destinations.training_list not in exported.files


def test_every_file_finds_the_list_beside_it(separate: None, trained: ExportInputs, exported: ExportResult,
                                             destinations: ExportOptions) -> None:
    assert trained.metadata.split
    expected = trained.metadata.split.trained_on
    assert destinations.training_list.name == NAME and destinations.training_list in exported.files
    assert destinations.training_list.read_text().replace("\n", "") == expected
    assert destinations.saved_model_dir
    seen, new = expected[:10] + "0" * 22, photo_digest(trained.reference.photos[0].read())
    for path in (destinations.output_graph, destinations.tflite, destinations.saved_model_dir):
        metadata = metadata_of(load_classifier(path))
        assert expected[:10] not in metadata.to_json()
        assert json.loads(metadata.to_json())["schema_version"] == 3  # version 2 would take every photo for a new one
        assert metadata.training_digest_mask([seen, new]) == [True, False], path


def test_a_smaller_training_removes_the_list(separate: None, trained: ExportInputs, exported: ExportResult,
                                             destinations: ExportOptions) -> None:
    assert destinations.training_list.exists() and trained.metadata.split
    few = replace(trained.metadata, split=replace(trained.metadata.split, trained_on="0123456789"))
    export_classifier(trained.extractor, trained.head, few, destinations, trained.reference)
    assert not destinations.training_list.exists()
    assert metadata_of(load_classifier(destinations.tflite)).training_digest_mask(["0123456789ab"]) == [True]


@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_without_its_list_a_classifier_labels_photos_but_does_not_tell_training_photos(
        separate: None, trained: ExportInputs, exported: ExportResult, destinations: ExportOptions, damage: str
        ) -> None:
    content = destinations.training_list.read_bytes()
    destinations.training_list.unlink()
    if damage == "changed":
        destinations.training_list.write_bytes(content[11:])
    classifier = load_classifier(destinations.tflite)
    assert classifier.label(trained.reference.photos[0].read())
    with pytest.raises(ModelError, match="missing|not the list") as error:
        training_photo_mask(metadata_of(classifier), trained.reference.photos)
    assert NAME in error.value.problem and error.value.problem.count(". ") == 0
    with pytest.raises(ModelError):
        convert(open_graph(destinations.output_graph), ["onnx"], destinations.output_graph.parent, [])


def test_further_formats_in_another_folder_take_the_list_with_them(
        separate: None, trained: ExportInputs, exported: ExportResult, destinations: ExportOptions, tmp_path: Path
        ) -> None:
    assert trained.metadata.split
    seen = trained.metadata.split.trained_on[:10]
    convert(open_graph(destinations.output_graph), ["tflite", "saved_model"], tmp_path / "elsewhere",
            trained.reference.photos)
    for path in (destinations.output_graph, destinations.tflite, destinations.training_list):
        path.unlink()
    for name in ("graph_float32.tflite", "graph_saved_model"):
        assert metadata_of(load_classifier(tmp_path / "elsewhere" / name)).training_digest_mask([seen]) == [True]


def test_a_rounded_graph_has_its_own_list(separate: None, trained: ExportInputs, exported: ExportResult,
                                          destinations: ExportOptions) -> None:
    assert trained.metadata.split
    rounded = destinations.output_graph.with_name("rounded.pb")
    write_rounded(destinations.output_graph, rounded)
    destinations.training_list.unlink()
    assert rounded.with_name("rounded.trained_on.txt").exists()
    seen = trained.metadata.split.trained_on[:10]
    assert metadata_of(load_classifier(rounded)).training_digest_mask([seen, "0" * 10]) == [True, False]


def test_the_metadata_of_a_million_photos_is_small(trained: ExportInputs) -> None:
    digests = "".join(f"{number:010x}" for number in range(0, 3_000_000, 3))
    metadata = replace(trained.metadata, split=SplitInfo(0, "ab", {"training": 1_000_000}, digests))
    separated, content = training_list.separate_list(metadata, "graph")
    assert len(separated.to_json()) < 10_000
    assert content is not None and len(content) == 11_000_000
    assert Metadata.from_json(separated.to_json(), "x") == separated
