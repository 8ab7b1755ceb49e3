"""Figures as sentences, for the report and the terminal."""
from __future__ import annotations

from tfpoets.evaluation import Rejection, wilson_interval


def unknown_sentences(rejection: Rejection, photos: str) -> list[str]:
    """What the reject option does to `photos`, and to strangers where there were some."""
    sentence = f"Called unknown: {_share(rejection.rejected, rejection.count)} of the {photos}."
    if rejection.accepted:
        sentence += f" Of those given a label, {_share(rejection.correct, rejection.accepted)} are right."
    sentences = [sentence]
    if rejection.unknown_count and rejection.auroc_interval:
        low, high = rejection.auroc_interval
        sentences.append(f"Of {rejection.unknown_count} photos of no class, "
                         f"{_share(rejection.unknown_rejected, rejection.unknown_count)} are called unknown; "
                         f"a stranger has the higher score in {rejection.auroc:.1%} of all pairs (AUROC, 95% "
                         f"interval {100 * low:.1f}-{100 * high:.1f}%).")
    return sentences


def _share(count: int, total: int) -> str:
    low, high = wilson_interval(count, total)
    return f"{count / total:.1%} (95% interval {100 * low:.1f}-{100 * high:.1f}%)"
