"""Fixtures: a small classifier with the photos that it was tested on, and its exported files."""
from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from tests.conftest import write_photos
from tfpoets.data import TEST, TRAINING, VALIDATION, Examples, SplitOptions, read_dataset, split_photos
from tfpoets.evaluation import evaluate
from tfpoets.exporting import (ExportOptions, ExportResult, HeadInfo, Metadata, ReferenceOutputs, describe_classifier,
                               evaluation_info, export_classifier)
from tfpoets.extractors import Extractor, extract_bottlenecks, open_extractor
from tfpoets.training import LinearHead, fit_head


class ExportInputs(NamedTuple):
    """The arguments of `export_classifier`, and the bottlenecks of the reference photos."""

    extractor: Extractor
    head: LinearHead
    metadata: Metadata
    reference: ReferenceOutputs
    test: Examples


@pytest.fixture(scope="session")
def trained(tiny_module: Path, model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> ExportInputs:
    """A classifier of three generated classes on the tiny module."""
    root = tmp_path_factory.mktemp("trained")
    for hue, label in enumerate(("blå", "C++", "日本")):
        write_photos(root / "photos" / label, 30, hue, suffix=".jpg")
    extractor = open_extractor(str(tiny_module), model_dir=model_dir)
    bottlenecks = extract_bottlenecks(read_dataset(root / "photos"), extractor, root / "cache")
    dataset = split_photos(bottlenecks.dataset, SplitOptions(30, 10))
    train, validation, test = (dataset.part(part) for part in (TRAINING, VALIDATION, TEST))
    fit = fit_head(train, validation)
    probabilities = fit.head.probabilities(test.X)
    metrics = evaluate(probabilities, test.y)
    assert metrics.accuracy > 0.8
    metadata = describe_classifier(extractor, dataset, HeadInfo.from_dict(fit.description()),
                                   test=evaluation_info(metrics))
    return ExportInputs(extractor, fit.head, metadata, ReferenceOutputs(test.photos, probabilities), test)


@pytest.fixture
def destinations(tmp_path: Path) -> ExportOptions:
    """Paths for all files, including a SavedModel."""
    return ExportOptions(tmp_path / "out" / "graph.pb", tmp_path / "out" / "labels.txt", tmp_path / "out" / "saved")


@pytest.fixture
def exported(trained: ExportInputs, destinations: ExportOptions) -> ExportResult:
    """The classifier, exported to `destinations`."""
    destinations.output_graph.parent.mkdir()
    assert destinations.saved_model_dir
    destinations.saved_model_dir.mkdir()
    return export_classifier(*trained[:3], destinations, trained.reference)
