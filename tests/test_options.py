"""Options are set by their names alone, wherever they are held."""
from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from tfpoets.errors import OptionError, check_range
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


def test_a_name_is_found_wherever_the_option_is_held() -> None:
    made = with_options(Outer, {"folder": "x", "deep": "y", "low": 3, "seed": 4})
    assert made == Outer("x", Middle(Inner(3), "y"), seed=4)


def test_of_two_options_of_one_name_the_outer_one_is_meant() -> None:
    made = with_options(Outer("x"), {"seed": 7})
    assert made.seed == 7 and made.middle.inner.seed == 1


def test_other_values_than_those_given_stay() -> None:
    before = Outer("x", Middle(Inner(1, 2), "y"))
    assert with_options(before, {"high": 5}) == Outer("x", Middle(Inner(1, 5), "y"))
    assert with_options(before, {}) == before


def test_values_of_one_holder_are_checked_together() -> None:
    assert with_options(Outer, {"folder": "x", "low": 20, "high": 30}).middle.inner == Inner(20, 30)
    with pytest.raises(OptionError, match="`low`=20"):
        with_options(Outer, {"folder": "x", "low": 20})


def test_options_given_whole_are_looked_into() -> None:
    assert with_options(Outer, {"folder": "x", "middle": Middle(deep="z"), "low": 2}).middle == Middle(Inner(2), "z")
    assert with_options(Outer, {"folder": "x", "other": Inner(), "middle": Middle()}).other == Inner()


@pytest.mark.parametrize("name, guess", [("hihg", "; did you mean `high`?"), ("folders", "; did you mean `folder`?"),
                                         ("xyzzy", r"\.")])
def test_an_unknown_name_names_the_nearest(name: str, guess: str) -> None:
    with pytest.raises(OptionError, match=f"There is no option `{name}`{guess}") as caught:
        with_options(Outer, {"folder": "x", name: 1})
    assert caught.value.option == name


def test_the_options_of_a_retraining_have_flat_names() -> None:
    made = with_options(RetrainOptions, {
        "image_dir": "photos", "testing_percentage": 95, "validation_percentage": 2, "seed": 3, "handle": "x",
        "image_size": 64, "views": 2, "class_weight": "balanced", "unknown_coverage": 0.9, "output_graph": "a/g.pb",
        "saved_model_dir": "s", "formats": ("tfjs",), "cross_validate": 5})
    assert (made.split.testing_percentage, made.split.seed) == (95, 3)
    assert (made.extractor.handle, made.extractor.image_size, made.extractor.views) == ("x", 64, 2)
    assert made.training.head.class_weight == "balanced" and made.training.unknown_coverage == 0.9
    assert made.files.output_graph.as_posix() == "a/g.pb" and made.files.formats == ("tfjs",)
    assert with_options(made, {"image_size": None}).extractor == ExtractorOptions("x", views=2)


def test_the_seed_is_that_of_the_split_for_every_training() -> None:
    steps = with_options(RetrainOptions, {"image_dir": "photos", "head": SGDOptions(), "seed": 5,
                                          "how_many_training_steps": 7})
    assert steps.training.head == SGDOptions(how_many_training_steps=7, seed=5)
    tuned = with_options(RetrainOptions, {"image_dir": "photos", "fine_tuning": FineTuningOptions(), "epochs": 2,
                                          "seed": 6})
    assert tuned.training.fine_tuning == FineTuningOptions(epochs=2, seed=6)


def test_only_places_that_are_written_to_are_checked(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual places may lie among the photos, where others are given."""
    monkeypatch.chdir(tmp_path)
    elsewhere = {name: tmp_path.parent / "elsewhere" / name for name in (
        "output_graph", "output_labels", "bottleneck_dir", "model_dir", "summaries_dir")}
    assert with_options(RetrainOptions, {"image_dir": ".", **elsewhere}).files.output_graph.name == "output_graph"
    with pytest.raises(OptionError, match="lies among the photos"):
        with_options(RetrainOptions, {"image_dir": "."})
