"""Metadata survives a round trip through JSON, and malformed metadata is rejected with a message."""
from __future__ import annotations

import functools
import json
from dataclasses import replace
from typing import Any

import pytest

from tfpoets.errors import ModelError
from tfpoets.exporting import (CostTable, CrossValidation, EvaluationInfo, HeadInfo, InputInfo, Metadata, NetworkInfo,
                               NodeNames, RejectOption, RepeatedScenes, SplitInfo, UnsureOption)

FULL = Metadata(
    labels=["blå", "日本"], input=InputInfo(224, 192), nodes=NodeNames("input", "final_result"),
    network=NetworkInfo("fine_tuned", "mobilenet", "ab12", "Better by 0.1"),
    head=HeadInfo("lbfgs", 1.5, {"l2": 0.01, "refitted": True}),
    split=SplitInfo(-3, "cd34", {"training": 8, "validation": 1, "test": 1}, "0123456789"),
    test=EvaluationInfo(0.75, (0.5, 0.875), 4, 0.25, 0.125, 2, RepeatedScenes(4, 3, 1.0, (0.25, 1.0), "v{group}_*")),
    unknown=RejectOption(3.5, 0.95, 8, {"count": 4}),
    unsure=UnsureOption(0.875, 0.99, 40, 0.75, {"count": 4}), costs=CostTable(1.0, ((0, 1, 2.5),)),
    cross_validation=CrossValidation(5, 0.75, (0.5, 0.875), 10, 0.0625, 3), files={"g.pb": "ef56"},
    options={"split": {"seed": -3}})
MINIMAL = replace(FULL, network=NetworkInfo("wrapped", "my_model", "ab12"), head=HeadInfo("none", 1.0), split=None,
                  test=None, unknown=None, unsure=None, costs=None, cross_validation=None, files={}, options={})
MALFORMED = {
    "labels": [None, "ab", ["one"], ["a", 1], ["a", "\ud800"], {"a": 1, "b": 2}],
    "input": [None, [], 3, {}],
    "input.height": [None, "32", 0, -1, 1.5, True, float("nan")],
    "input.pixels": [None, 99, "1"],
    "nodes": [None, "input", {}],
    "nodes.output": [None, 1, []],
    "network": [None, [], {}],
    "network.handle": [None, 5],
    "network.fine_tuning": [None, {}],
    "head": [None, 1, {}],
    "head.temperature": [None, "1", float("inf"), float("nan")],
    "split": [5, "x", [], {}],
    "split.seed": [None, 0.5],
    "split.counts": [None, [], {"training": -1}, {"training": "8"}],
    "split.trained_on": [None, 7, ["01"]],
    "split.trained_on_file": [7, [], {}, {"name": "list.txt"}, {"name": "../list.txt", "sha256": "ab"},
                              {"name": "..", "sha256": "ab"}, {"name": "", "sha256": "ab"}],
    "test": [0, [], {}],
    "test.accuracy": [None, "1", 1.5, -0.1, float("nan")],
    "test.interval": [None, 0.5, [], [0.5], ["a", "b"], [0, float("nan")]],
    "test.count": [None, 0, -4, "4"],
    "test.groups": [0, "2"],
    "test.repeated_scenes": [7, [], {}],
    "test.repeated_scenes.repeated": [None, -1],
    "test.repeated_scenes.accuracy": ["1", 2],
    "test.repeated_scenes.interval": [None, [0]],
    "test.repeated_scenes.group_pattern": [None, 3],
    "unknown": [True, [], {}],
    "unknown.threshold": [None, "3", float("nan"), float("-inf"), 10 ** 400],
    "unknown.coverage": [None, 2],
    "unknown.test": [4, []],
    "unsure": [1, [], {}],
    "unsure.threshold": [None, "0.9", -1, float("nan")],
    "unsure.accuracy_target": [None, 2],
    "unsure.test": [4, []],
    "costs": [1, [], {}],
    "costs.default": [None, -1, float("inf")],
    "costs.listed": [None, 3, {}, [[0, 1]], [[0, 2, 1.0]], [[-1, 0, 1.0]], [[0, 1, -1.0]], [[0.5, 1, 1.0]], [None]],
    "cross_validation": [1, {}],
    "cross_validation.spread": [None, float("nan")],
    "files": [None, [], {"g.pb": 1}],
    "made_with": [5, {"numpy": None}],
    "options": [3, []],
}


def replace_value(metadata: Metadata, path: str, value: Any) -> str:
    """Return metadata as JSON with one value replaced."""
    values = json.loads(metadata.to_json())
    *sections, name = path.split(".")
    parent = functools.reduce(dict.__getitem__, sections, values)
    parent[name] = value
    return json.dumps(values)


def remove_value(metadata: Metadata, path: str) -> str:
    """Return metadata as JSON without one value."""
    values = json.loads(metadata.to_json())
    *sections, name = path.split(".")
    del functools.reduce(dict.__getitem__, sections, values)[name]
    return json.dumps(values)


@pytest.mark.parametrize("metadata", [FULL, MINIMAL], ids=["full", "minimal"])
def test_metadata_survives_a_round_trip(metadata: Metadata) -> None:
    assert Metadata.from_json(metadata.to_json(), "x") == metadata


def test_the_json_contains_its_format_and_the_details_of_the_head_next_to_the_other_fields() -> None:
    values = json.loads(FULL.to_json())
    assert (values["format"], values["schema_version"]) == ("tfpoets-classifier", 2)
    assert values["head"] == {"solver": "lbfgs", "temperature": 1.5, "l2": 0.01, "refitted": True}
    assert values["test"]["interval"] == [0.5, 0.875]
    assert "fine_tuning" not in json.loads(MINIMAL.to_json())["network"]


@pytest.mark.parametrize("path, value", [(path, value) for path, values in MALFORMED.items() for value in values])
def test_a_malformed_section_is_rejected(path: str, value: Any) -> None:
    with pytest.raises(ModelError) as caught:
        Metadata.from_json(replace_value(FULL, path, value), "x")
    assert caught.value.problem.startswith("The metadata of x cannot be used: ")
    assert path.split(".")[-1] in caught.value.problem or "version 99 of the pixel" in caught.value.problem


@pytest.mark.parametrize("path", ["labels", "input", "nodes", "network", "head", "input.width", "nodes.input",
                                  "network.digest", "head.solver", "split.digest", "split.counts",
                                  "test.cross_entropy", "unknown.threshold", "cross_validation.folds"])
def test_a_missing_part_is_rejected(path: str) -> None:
    with pytest.raises(ModelError, match="metadata of x cannot be used: .*" + path.replace(".", r"\.")):
        Metadata.from_json(remove_value(FULL, path), "x")


@pytest.mark.parametrize("text", ["{", "[]", "null", "5", '"x"', "{}", b"\xff\xfe\xff", "[" * 100_000,
                                  '{"format": "other"}', '{"format": ["tfpoets-classifier"]}'])
def test_text_that_is_not_metadata_is_rejected(text: str | bytes) -> None:
    with pytest.raises(ModelError, match="metadata of x cannot be used"):
        Metadata.from_json(text, "x")


def test_an_empty_file_is_rejected() -> None:
    with pytest.raises(ModelError, match="x is empty"):
        Metadata.from_json("", "x")


@pytest.mark.parametrize("version", [None, "2", 1, 2.5, True])
def test_an_invalid_schema_version_is_rejected(version: Any) -> None:
    with pytest.raises(ModelError, match="metadata of x cannot be used: its schema version"):
        Metadata.from_json(replace_value(FULL, "schema_version", version), "x")


def test_a_newer_schema_version_is_rejected_before_its_sections_are_read() -> None:
    with pytest.raises(ModelError, match="The metadata of x has schema version 4.*Install a newer version"):
        Metadata.from_json('{"format": "tfpoets-classifier", "schema_version": 4, "novelty": {}}', "x")


@pytest.mark.parametrize("name", ["options", "flags"])
def test_files_without_a_schema_version_are_read(name: str) -> None:
    values = json.loads(FULL.to_json())
    del values["schema_version"]
    values["format"] = "poets-classifier-1"
    values[name] = values.pop("options")
    assert Metadata.from_json(json.dumps(values), "x") == FULL


def test_a_wrapped_network_without_a_schema_version_has_no_split() -> None:
    values = json.loads(MINIMAL.to_json())
    del values["schema_version"]
    values |= {"format": "poets-classifier-1", "split": {}}
    assert Metadata.from_json(json.dumps(values), "x") == MINIMAL


def test_training_photos_are_recognized_by_their_digest() -> None:
    assert FULL.training_digest_mask(["0123456789abcdef", "1123456789abcdef"]) == [True, False]
    assert MINIMAL.training_digest_mask(["0123456789abcdef"]) == [False]


def test_unknown_sections_are_ignored() -> None:
    text = replace_value(FULL, "surprise", {"anything": 1})
    assert Metadata.from_json(text, "g.json").labels == FULL.labels


def test_costs_of_very_many_classes_are_rejected_because_their_matrix_would_fill_the_memory() -> None:
    values = json.loads(FULL.to_json())
    values["labels"] = [str(number) for number in range(50_000)]
    with pytest.raises(ModelError, match="costs for more than 1000 classes"):
        Metadata.from_json(json.dumps(values), "x")
