"""Metrics as sentences, for the report and the terminal."""
from __future__ import annotations

from tfpoets.evaluation import Rejection
from tfpoets.exporting import RepeatedScenes


def unknown_sentences(rejection: Rejection, photos: str) -> list[str]:
    """Return sentences on how many known and, if there are any, unknown photos were called unknown.

    Args:
        rejection: The metrics of the reject option.
        photos: A noun phrase for the known photos, such as "test photos".
    """
    sentence = f"Called unknown: {rejection.rejected / rejection.count:.1%} "
    sentence += f"{_interval(rejection.rejected_interval)} of the {photos}."
    if rejection.accuracy is not None:
        sentence += (f" Of the others, {rejection.accuracy:.1%} {_interval(rejection.accuracy_interval)} were "
                     "labelled correctly.")
    sentences = [sentence]
    if rejection.unknown_count and rejection.auroc is not None:
        sentences.append(f"Of {rejection.unknown_count} unknown photos, "
                         f"{rejection.unknown_rejected / rejection.unknown_count:.1%} "
                         f"{_interval(rejection.unknown_interval)} were called unknown. In {rejection.auroc:.1%} of "
                         "all pairs, the unknown photo has a higher score than the known one (AUROC, "
                         f"{_interval(rejection.auroc_interval)[1:]}.")
    return sentences


def scene_sentences(scenes: RepeatedScenes) -> list[str]:
    """Return sentences on test photos that show the same scenes as training photos; option names are in backticks."""
    others = scenes.compared - scenes.repeated
    accuracy = "No test photo shows a new scene, so the accuracy on new scenes is not known."
    if scenes.accuracy is not None:
        accuracy = f"The accuracy on the other {others} is {scenes.accuracy:.1%} {_interval(scenes.interval)}."
    pattern = f"`group_pattern`='{scenes.group_pattern}'" if scenes.group_pattern else "`group_pattern`"
    return [f"{scenes.repeated} of the {scenes.compared} test photos are almost the same as a training photo (like "
            "frames of one video), so the accuracy below overestimates the accuracy on new scenes.", accuracy,
            f"To keep the photos of a scene together, use {pattern}, or the column `group` of a `manifest`; or test "
            "on photos of other scenes, with `test_dir`."]


def _interval(interval: tuple[float, float] | None) -> str:
    low, high = interval or (0.0, 1.0)
    return f"(95% interval {100 * low:.1f}-{100 * high:.1f}%)"
