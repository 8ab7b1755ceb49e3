"""Options in nested dataclasses are set by their names."""
from __future__ import annotations

import re
from dataclasses import dataclass, field

import pytest

from tfpoets import retrain
from tfpoets.data import SplitOptions
from tfpoets.errors import DataError, OptionError, check_range
from tfpoets.extractors import ExtractorOptions
from tfpoets.options import with_options
from tfpoets.retrain_options import RetrainOptions
from tfpoets.training import FineTuningOptions, SGDOptions


@dataclass(frozen=True)
class Inner:
    low: int = 0
    high: int = 10
    seed: int = 1

    def __post_init__(self) -> None:
        check_range("low", self.low, maximum=self.high)


@dataclass(frozen=True)
class Middle:
    inner: Inner = Inner()
    deep: str = ""


@dataclass(frozen=True)
class Outer:
    folder: str
    middle: Middle = field(default_factory=Middle)
    other: Inner | None = None
    seed: int = 2


def test_an_option_is_found_at_any_depth() -> None:
    options = with_options(Outer, {"folder": "x", "deep": "y", "low": 3, "seed": 4})
    assert options == Outer("x", Middle(Inner(3), "y"), seed=4)


def test_the_outer_option_is_set_if_two_have_the_same_name() -> None:
    options = with_options(Outer("x"), {"seed": 7})
    assert options.seed == 7 and options.middle.inner.seed == 1


def test_options_without_a_new_value_are_unchanged() -> None:
    options = Outer("x", Middle(Inner(1, 2), "y"))
    assert with_options(options, {"high": 5}) == Outer("x", Middle(Inner(1, 5), "y"))
    assert with_options(options, {}) == options


def test_values_of_one_group_are_checked_together() -> None:
    assert with_options(Outer, {"folder": "x", "low": 20, "high": 30}).middle.inner == Inner(20, 30)
    with pytest.raises(OptionError, match="`low`=20"):
        with_options(Outer, {"folder": "x", "low": 20})


def test_options_of_a_new_group_can_be_set_by_name() -> None:
    assert with_options(Outer, {"folder": "x", "middle": Middle(deep="z"), "low": 2}).middle == Middle(Inner(2), "z")
    assert with_options(Outer, {"folder": "x", "other": Inner(), "middle": Middle()}).other == Inner()


@pytest.mark.parametrize("name, guess", [("hihg", "; did you mean `high`?"), ("folders", "; did you mean `folder`?"),
                                         ("xyzzy", r"\.")])
def test_the_error_for_an_unknown_name_suggests_the_closest_match(name: str, guess: str) -> None:
    with pytest.raises(OptionError, match=f"There is no option `{name}`{guess}") as caught:
        with_options(Outer, {"folder": "x", name: 1})
    assert caught.value.option == name


def test_all_retrain_options_can_be_set_by_name() -> None:
    options = with_options(RetrainOptions, {
        "image_dir": "photos", "testing_percentage": 95, "validation_percentage": 2, "seed": 3, "handle": "x",
        "image_size": 64, "views": 2, "class_weight": "balanced", "unknown_coverage": 0.9, "output_graph": "a/g.pb",
        "saved_model_dir": "s", "formats": ("tfjs",), "cross_validate": 5})
    assert (options.split.testing_percentage, options.split.seed) == (95, 3)
    assert (options.extractor.handle, options.extractor.image_size, options.extractor.views) == ("x", 64, 2)
    assert options.training.head.class_weight == "balanced" and options.training.unknown_coverage == 0.9
    assert options.files.output_graph.as_posix() == "a/g.pb" and options.files.formats == ("tfjs",)
    assert with_options(options, {"image_size": None}).extractor == ExtractorOptions("x", views=2)


def test_every_kind_of_training_uses_the_seed_of_the_split() -> None:
    sgd = with_options(RetrainOptions, {"image_dir": "photos", "head": SGDOptions(), "seed": 5,
                                        "how_many_training_steps": 7})
    assert sgd.training.head == SGDOptions(how_many_training_steps=7, seed=5)
    fine_tuned = with_options(RetrainOptions, {"image_dir": "photos", "fine_tuning": FineTuningOptions(), "epochs": 2,
                                               "seed": 6})
    assert fine_tuned.training.fine_tuning == FineTuningOptions(epochs=2, seed=6)


def test_only_locations_that_the_run_writes_to_are_checked(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Default locations may be inside the photo folder if they are not used."""
    monkeypatch.chdir(tmp_path)
    elsewhere = {name: tmp_path.parent / "elsewhere" / name for name in (
        "output_graph", "output_labels", "bottleneck_dir", "model_dir", "summaries_dir")}
    assert with_options(RetrainOptions, {"image_dir": ".", **elsewhere}).files.output_graph.name == "output_graph"
    with pytest.raises(OptionError, match="is inside the photo folder"):
        with_options(RetrainOptions, {"image_dir": "."})


@pytest.mark.parametrize("name", ["testing_percentage", "validation_percentage"])
def test_a_percentage_that_looks_like_a_fraction_is_an_error(name: str) -> None:
    remedy = f"For 20 percent, write {name}=20; for 0.2 percent, write split=SplitOptions({name}=0.2)."
    with pytest.raises(OptionError, match=f"0.2 is 0.2 percent. {re.escape(remedy)}"):
        retrain("nowhere", **{name: 0.2})
    with pytest.raises(DataError):  # there is no such folder
        retrain("nowhere", split=SplitOptions(**{name: 0.2}))
