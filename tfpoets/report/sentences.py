"""Metrics as sentences, for the report and the terminal."""
from __future__ import annotations

from tfpoets.evaluation import Rejection, wilson_interval


def unknown_sentences(rejection: Rejection, photos: str) -> list[str]:
    """Return sentences on how many known and, if there are any, unknown photos were called unknown.

    Args:
        rejection: The metrics of the reject option.
        photos: A noun phrase for the known photos, such as "test photos".
    """
    sentence = f"Called unknown: {_percentage(rejection.rejected, rejection.count)} of the {photos}."
    if rejection.accepted:
        sentence += f" Of the others, {_percentage(rejection.correct, rejection.accepted)} were labelled correctly."
    sentences = [sentence]
    if rejection.unknown_count and rejection.auroc_interval:
        low, high = rejection.auroc_interval
        sentences.append(f"Of {rejection.unknown_count} unknown photos, "
                         f"{_percentage(rejection.unknown_rejected, rejection.unknown_count)} were called unknown. "
                         f"In {rejection.auroc:.1%} of all pairs, the unknown photo has a higher score than the known "
                         f"one (AUROC, 95% interval {100 * low:.1f}-{100 * high:.1f}%).")
    return sentences


def _percentage(count: int, total: int) -> str:
    low, high = wilson_interval(count, total)
    return f"{count / total:.1%} (95% interval {100 * low:.1f}-{100 * high:.1f}%)"
