"""A small number of the cases of `tests.attack.models`, which tries many more."""
from __future__ import annotations

from pathlib import Path

import pytest

from . import hostile_models
from .models import ARCHIVES, Case, all_cases, damaged_texts, make_classifier, prepare, run, try_case, working_folder


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a classifier that this program wrote."""
    return make_classifier(tmp_path_factory.mktemp("attack"))


@pytest.mark.first_run
def test_changed_tflite_files_neither_crash_the_process_nor_give_other_answers_than_numbers(own: Path) -> None:
    assert run([Case("tflite", f"0/{number}", False) for number in range(8)], own) == {}


@pytest.mark.slow
@pytest.mark.first_run
def test_changed_graphs_neither_crash_the_process_nor_give_other_answers_than_numbers(own: Path) -> None:
    assert run([Case("pb", f"0/{number}", False) for number in range(8)], own) == {}


@pytest.mark.parametrize("case", [case for case in all_cases(0, 0) if "memory" not in case.name],
                         ids="{0.kind} {0.name}".format)
def test_a_hostile_or_damaged_model_is_refused_with_one_sentence(case: Case, own: Path) -> None:
    assert try_case(case, own) == ""


@pytest.mark.slow
@pytest.mark.first_run
@pytest.mark.parametrize("case", [case for case in all_cases(0, 0) if "memory" in case.name],
                         ids="{0.kind} {0.name}".format)
def test_a_model_that_fills_the_memory_is_ended(case: Case, own: Path) -> None:
    assert try_case(case, own) == ""


def test_the_attacks_succeed_if_the_model_is_trusted(tmp_path: Path) -> None:
    from tfpoets.inference import load_classifier
    for name in ("WriteFile", "PrintV2", "function WriteFile"):
        with working_folder(tmp_path / name):
            path = hostile_models.write_graph(Path(), hostile_models.GRAPHS[f"{name}, control flow 2"]())
            load_classifier(path, trust_model=True)
            assert Path(hostile_models.CANARY).exists()


def test_all_kinds_of_damage_are_tried(own: Path, tmp_path: Path) -> None:
    names = {case.name for case in all_cases(0, 0) if case.kind in ("metadata", "archive")}
    assert names == {*damaged_texts({"labels": ["a", "b", "c"]}), *ARCHIVES}
    with working_folder(tmp_path):
        prepare(Case("tflite", "1/2", False), own, tmp_path)
        assert (tmp_path / "g.tflite").read_bytes() != (own / "g.tflite").read_bytes()
