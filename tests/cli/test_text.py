"""Results as text for a terminal."""
from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from tfpoets.cli.retrain_text import EventPrinter
from tfpoets.cli.text import accuracy_lines, class_lines, cross_validation_lines, weakest_class_lines, written_lines
from tfpoets.evaluation import evaluate
from tfpoets.exporting import ExportedFile, ExportResult
from tfpoets.training import EpochMetrics, FineTuningComparison


def metrics(n_classes: int = 3, count: int = 60, wrong: int = 6):
    y = np.arange(count) % n_classes
    predicted = np.where(np.arange(count) < wrong, (y + 1) % n_classes, y)
    return evaluate(np.eye(n_classes)[predicted] * 0.9 + 0.1 / n_classes, y)


def test_accuracy_lines_show_interval_baseline_and_caution() -> None:
    lines = accuracy_lines(metrics(), ["a", "b", "c"], "Final test accuracy")
    assert lines[0] == "Final test accuracy = 90.0% (N=60), 95% interval 79.9-95.3%"
    assert "always predicting a would reach 33.3%" in lines[1] and "60 photos are a small sample" in lines[2]
    assert len(accuracy_lines(metrics(count=600, wrong=60), ["a", "b", "c"], "Accuracy")) == 2


def test_class_lines_are_a_table_and_the_most_frequent_confusions() -> None:
    lines = class_lines(metrics(), ["a", "b", "a very long label that would fill the terminal by itself"])
    assert lines[0].split() == ["class", "photos", "recall", "(95%", "interval)", "precision", "f1"]
    assert lines[1].split() == ["a", "20", "90.0%", "(70-97%)", "90.0%", "90.0%"]
    assert lines[4].split() == ["macro", "average", "60", "90.0%", "90.0%", "90.0%"]
    assert lines[5].split() == ["weighted", "average", "60", "90.0%", "90.0%", "90.0%"]
    assert "..." in lines[3] and all(len(line) < 80 for line in lines)
    assert "Most frequent confusions: a taken for b (2), b taken for" in " ".join(lines)
    assert not any("taken" in line for line in class_lines(metrics(wrong=0), ["a", "b", "c"]))


def test_only_the_worst_of_many_classes_are_shown() -> None:
    lines = class_lines(metrics(n_classes=200, count=1000, wrong=5), [f"class {number}" for number in range(200)])
    assert lines[0].startswith("The 50 classes with the lowest recall, of ") and len(lines) < 60
    assert {line.split()[1] for line in lines[2:7]} == {"0", "1", "2", "3", "4"}


def test_cross_validation_lines_show_the_spread_of_the_folds() -> None:
    lines = cross_validation_lines(metrics(), [0.8, 0.9, 1.0])
    assert lines[0] == "3-fold cross-validation: accuracy = 90.0% (N=60)"
    assert "folds from 80.0 to 100.0%, standard deviation 10.0." in lines[1]
    assert all(len(line) < 80 for line in lines)


def test_the_comparison_of_networks_fits_a_terminal_and_shows_which_is_kept() -> None:
    for before, after, conclusion in ((0.5, 0.25, "(better by 0.2500 ± 0.0125): the fine-tuned network is kept"),
                                      (0.5, 0.49, "(better by 0.0100 ± 0.0125): the original network is kept"),
                                      (0.5, 0.75, "(worse by 0.2500 ± 0.0125): the original network is kept")):
        stream = io.StringIO()
        EventPrinter(stream)(FineTuningComparison(before, after, 0.0125, "epoch 3"))
        lines = stream.getvalue().splitlines()
        assert len(lines) > 1 and all(len(line) < 80 for line in lines)
        assert " ".join(stream.getvalue().split()) == (
            f"Validation loss {before:.4f} before fine-tuning, {after:.4f} after epoch 3, with the last layer fitted "
            f"again {conclusion}")


def test_an_epoch_is_printed_as_one_line() -> None:
    stream = io.StringIO()
    print_event = EventPrinter(stream)
    print_event(EpochMetrics(3, 0.5, 0.75, 0.25, 0.875))
    print_event(EpochMetrics(4, 0.5, 0.75, 0.25, 0.875, seconds=3.14159))
    print_event(EpochMetrics(19, 0.5, 1, 0.25, 1, seconds=61.7))
    assert stream.getvalue() == ("Epoch 4: train loss 0.5000, accuracy 75.0%; validation 0.2500, 87.5%\n"
                                 "Epoch 5, 3.1 s: train loss 0.5000, accuracy 75.0%; validation 0.2500, 87.5%\n"
                                 "Epoch 20, 62 s: train loss 0.5000, accuracy 100.0%; validation 0.2500, 100.0%\n")
    assert all(len(line) < 80 for line in stream.getvalue().splitlines())


def test_the_three_weakest_classes_are_listed_with_what_they_are_taken_for() -> None:
    y = np.repeat(np.arange(5), 10)
    predicted = y.copy()
    predicted[:3], predicted[10:12], predicted[20], predicted[30:34] = 1, 4, 3, 0
    lines = weakest_class_lines(evaluate(np.eye(5)[predicted], y), ["ant", "bee", "cat", "d" * 60, "\x1b[2J"])
    assert [line.split()[:4] for line in lines[1:]] == [["d" * 25 + "...", "6", "of", "10"], ["ant", "7", "of", "10"],
                                                        ["bee", "8", "of", "10"]]
    assert "3 taken for bee" in lines[2] and lines[3].endswith("2 taken for \\x1b[2J")
    assert all(len(line) < 80 for line in lines)
    assert weakest_class_lines(metrics(wrong=0), ["a", "b", "c"]) == []


def test_written_files_with_the_same_stem_share_a_line_and_differences_are_shown() -> None:
    files = tuple(map(Path, ("a/g.pb", "a/labels.txt", "a/g.tflite", "saved/1")))
    agreeing = ExportedFile("g.pb", Path("a/g.pb"), 1, 9, 9, 1e-7, None)
    assert written_lines(ExportResult(files, ())) == ["Written:", "  a/g.pb, .tflite", "  a/labels.txt", "  saved/1"]
    assert written_lines(ExportResult(files, (agreeing,)))[0] == "Written, and verified on 9 test photos:"
    differing = ExportedFile("g.tflite", Path("a/g.tflite"), 1, 9, 8, 0.1, None)
    lines = written_lines(ExportResult(files, (agreeing, differing)))
    assert lines[0] == "Written:" and lines[-1].startswith("  g.tflite: 8 of 9 labels agree")
