"""The rules by which recommendations are chosen.

Each rule is a generator that yields the recommendations to give, if any. tests/benchmarks/RESULTS.md, "Next steps",
compares the promised gains with the actual ones.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tfpoets.doctor import WRONG_LABEL, Finding
from tfpoets.evaluation import Z_95, Metrics
from tfpoets.exporting import RepeatedScenes
from tfpoets.recommendation import Advice, Recommendation
from tfpoets.training import MIN_TEST_PHOTOS, LearningCurve

from .trials import Trial

MAX_RECOMMENDATIONS = 3
# A smaller expected gain is not recommended.
MIN_GAIN = 0.0025
# The constants for labels were chosen on seeds 100 to 119 of tests/benchmarks/next_steps.py. The doctor suspects about
# this fraction of the errors of a classifier although their labels are right (0.03 to 0.16). More than that must be
# suspected, by this many standard deviations of a Poisson distribution.
FALSE_SUSPICIONS, MIN_DEVIATIONS = 0.1, 2.0
# The gain per wrong label, in photos, with its range: one for a wrong label of a test photo, and more from better
# training.
GAIN_PER_LABEL, GAIN_PER_LABEL_RANGE = 1.5, (0.5, 2.5)
# A trial must have gained more than this many standard errors, which happens by chance in 5 % of the cases.
MIN_STANDARD_ERRORS = 1.64
# The standard deviation of the prior distribution of the gains of other features, with mean 0, towards which measured
# gains are shrunk. Most gains in RESULTS.md, "Views" and "Accuracy over 50 splits", are below one point.
TYPICAL_GAIN = 0.01
# Fine-tuning on 2,900 flowers removed 14 +- 6 % and 16 +- 4 % of the errors of two networks; on 1,400 digits, 82 % in
# one split and none in another; on 360 flowers none (RESULTS.md, "Fine-tuning" and "Next steps").
MIN_PHOTOS_FOR_FINE_TUNING = 1000
ERRORS_REMOVED, ERRORS_REMOVED_RANGE = 0.15, (0.0, 0.8)
FINE_TUNING_EPOCHS = 4

# Returns the command that repeats the run with other values of options.
Command = Callable[..., str]


@dataclass(frozen=True, eq=False, kw_only=True)
class Evidence:
    """What is known about a classifier.

    Attributes:
        metrics: The metrics of the test photos.
        labels: The labels, in output order.
        n_photos: The number of all photos.
        n_training: The number of training and validation photos.
        curve: The learning curve, or None.
        findings: The findings of the data doctor, or None.
        findings_path: The file that lists them.
        repeated_scenes: The test photos that show the same scene as a training photo, or None.
        trials: What other features gained, or None if they were not tried.
        can_fine_tune: Whether the network can be fine-tuned, and has not been.
    """

    metrics: Metrics
    labels: Sequence[str]
    n_photos: int
    n_training: int
    curve: LearningCurve | None
    findings: Sequence[Finding] | None
    findings_path: Path
    repeated_scenes: RepeatedScenes | None
    trials: Sequence[Trial] | None
    can_fine_tune: bool


def recommend(evidence: Evidence, command: Command) -> Advice:
    """Return what would improve a classifier, in the order of the expected gain.

    Repeated scenes come first, because they make all other figures too high.

    Args:
        evidence: What is known about the classifier.
        command: A function of options by name that returns the command that repeats the run with them.
    """
    found = [item for rule in RULES for item in rule(evidence, command)]
    chosen = sorted(found, key=lambda item: -1.0 if item.gain is None else -item.gain)[:MAX_RECOMMENDATIONS]
    return Advice(tuple(chosen), _summarize(evidence, chosen))


def _group_scenes(evidence: Evidence, command: Command) -> Iterator[Recommendation]:
    """Keep the photos of a scene together, so that the accuracy is that for new scenes."""
    scenes = evidence.repeated_scenes
    if scenes is None:
        return
    others = "not known" if scenes.accuracy is None else f"{scenes.accuracy:.1%}"
    if scenes.interval is not None:
        others += f" (95% interval {100 * scenes.interval[0]:.1f}-{100 * scenes.interval[1]:.1f}%)"
    changes = {"group_pattern": scenes.group_pattern or "PATTERN"}
    yield Recommendation(
        "groups", "Keep the photos of each scene together in the split.",
        f"{scenes.repeated} of the {scenes.compared} test photos repeat the scene of a training photo, so neither the "
        f"accuracy nor the gains below are those for new scenes. On the other photos, the accuracy is {others}.",
        command(**changes), changes=changes)


def _add_photos(evidence: Evidence, command: Command) -> Iterator[Recommendation]:
    """Add photos, if the learning curve is still rising."""
    curve = evidence.curve
    if curve is None or curve.now == 1 or curve.doubled.accuracy - curve.now < MIN_GAIN:
        return
    forecast, best = curve.doubled, curve.best_class
    classes = " of every class" if best is None else f", starting with {evidence.labels[best]}"
    low, high = forecast.interval
    yield Recommendation(
        "photos", f"Add photos{classes}.",
        f"Forecast of the learning curve for twice as many photos: {forecast.accuracy:.1%} instead of "
        f"{curve.now:.1%}.", command(), forecast.accuracy - curve.now, (low - curve.now, high - curve.now))


def _check_labels(evidence: Evidence, command: Command) -> Iterator[Recommendation]:
    """Correct wrong labels, if the doctor suspects more labels than it would if all were right."""
    n_suspected = sum(finding.kind == WRONG_LABEL for finding in evidence.findings or ())
    n_photos = evidence.n_photos
    n_false = FALSE_SUSPICIONS * (1 - evidence.metrics.accuracy) * n_photos
    n_wrong = n_suspected - n_false
    if n_wrong <= MIN_DEVIATIONS * n_false ** 0.5:
        return
    lowest, highest = GAIN_PER_LABEL_RANGE
    half_width = Z_95 * n_suspected ** 0.5
    # The gain cannot exceed the errors in the test.
    gain = min(GAIN_PER_LABEL * n_wrong / n_photos, 1 - evidence.metrics.accuracy)
    if gain < MIN_GAIN:
        return
    interval = (min(lowest * max(0.0, n_wrong - half_width) / n_photos, gain),
                min(highest * (n_wrong + half_width) / n_photos, 1 - evidence.metrics.interval[0]))
    yield Recommendation(
        "labels", f"Check the {n_suspected} labels that look wrong, in {evidence.findings_path}.",
        f"About {n_wrong:.0f} of them are probably wrong. Wrong labels make training worse, and correct predictions "
        "for such photos count as errors in the test.",
        command(), gain, interval, True)


def _use_trials(evidence: Evidence, command: Command) -> Iterator[Recommendation]:
    """Use a larger input size or more views, if that gained more than chance would."""
    for trial in evidence.trials or ():
        measured, error = trial.difference.difference, trial.difference.standard_error
        if not measured > MIN_STANDARD_ERRORS * error:
            continue
        weight = TYPICAL_GAIN ** 2 / (TYPICAL_GAIN ** 2 + error ** 2)
        gain, half_width = weight * measured, Z_95 * weight ** 0.5 * error
        if gain < MIN_GAIN:
            continue
        action = f"Use {trial.value} x {trial.value} pixels." if trial.option == "image_size" else (
            f"Use {trial.value} views of each photo.")
        yield Recommendation(
            trial.option, action,
            f"Cross-validation on {trial.count} photos that are not test photos measured "
            f"{trial.difference.format_points()} points; the gain above is lower, because such gains are usually "
            f"small. Each photo takes {trial.time_ratio:.1f} times as long.",
            command(**{trial.option: trial.value}), gain, (gain - half_width, gain + half_width),
            changes={trial.option: trial.value})


def _fine_tune(evidence: Evidence, command: Command) -> Iterator[Recommendation]:
    """Fine-tune the network, if there are enough photos."""
    if not evidence.can_fine_tune or evidence.n_training < MIN_PHOTOS_FOR_FINE_TUNING:
        return
    error = 1 - evidence.metrics.accuracy
    if ERRORS_REMOVED * error < MIN_GAIN:
        return
    low, high = ERRORS_REMOVED_RANGE
    yield Recommendation(
        "fine_tuning", "Fine-tune the whole network.",
        f"Not measured on these photos: fine-tuning removed about {ERRORS_REMOVED:.0%} of the errors with 2,900 "
        "photos of flowers, and from none to 80% with other pictures. It takes minutes on a GPU, and longer without "
        "one.",
        command(fine_tune_epochs=FINE_TUNING_EPOCHS), ERRORS_REMOVED * error, (low * error, high * error), True,
        {"fine_tune_epochs": FINE_TUNING_EPOCHS})


RULES = (_group_scenes, _add_photos, _check_labels, _use_trials, _fine_tune)


def _summarize(evidence: Evidence, recommendations: Sequence[Recommendation]) -> str:
    """Return a sentence on what was not tried, or that there is nothing to recommend."""
    untried = ""
    if evidence.trials is None:
        untried = "Larger input sizes and more views were not tried; the option `advice` tries them."
    if recommendations:
        return untried
    if evidence.metrics.count < MIN_TEST_PHOTOS:
        return ("Add photos of every class: a hundred of each, if you can. "
                f"{evidence.metrics.count} test photos are too few to measure what else would help.")
    if evidence.metrics.accuracy == 1:
        return "None: all test photos are labelled correctly, so they cannot show what would improve the classifier."
    if evidence.curve is None:
        summary = "None found, but the gain from more photos was not measured."
    else:
        summary = "None: no change that was examined is expected to raise the accuracy noticeably."
    return f"{summary} {untried}".strip()
