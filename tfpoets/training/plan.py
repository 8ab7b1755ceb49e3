"""What a retrain trains: the last layer alone, all layers after it, or a network from nothing."""
from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tfpoets.data import PARTS, TEST, TRAINING, USUAL_AUGMENTATION, VALIDATION, AugmentationOptions, Split
from tfpoets.errors import OptionError, TrainingError, check_range
from tfpoets.extractors import (Bottlenecks, Extractor, ExtractorOptions, build_application, extract_augmented,
                                extract_bottlenecks, load_network)
from tfpoets.progress import stage

from .head import Head, HeadFit, HeadOptions, Variations, fit_head
from .loop import NetworkFit
from .steps import SGDOptions, StepsFit, fit_head_by_steps, generator
from .unknown import fit_unknown_score
from .whole_network import (FineTuningOptions, NetworkOptions, Untrained, from_scratch, to_fine_tune,
                            train_whole_network)

log = logging.getLogger(__name__)

# With fewer validation photos than this a share of 95 % or so cannot be kept well.
FEW_FOR_COVERAGE = 40

# Of each photo, where its augmentation is asked for and no number of copies.
USUAL_COPIES = 4
MOST_COPIES = 100
# What a training gives.
Fit = HeadFit | StepsFit | NetworkFit
# Is told of every event below, of each Step and of each Epoch.
Listener = Callable[[Any], None]


@dataclass(frozen=True)
class TrainingOptions:
    """What is trained, and how.

    Attributes:
        head: how the last layer is solved.
        sgd: train the last layer by gradient steps instead; None: solve it.
        fine_tuning: train all layers of the extractor, after the last one; None: leave it as it is.
        network: train a network from scratch instead of using the extractor; None: do not.
        augmentation: how photos are varied for the last layer alone; None: they are not.
        augmented_views: varied copies of each photo, for the last layer alone; None: none without `augmentation`, else
            USUAL_COPIES.
        unknown_coverage: call photos unlike the training photos unknown, but not this share of the validation photos;
            None: never.
    """

    head: HeadOptions = HeadOptions()
    sgd: SGDOptions | None = None
    fine_tuning: FineTuningOptions | None = None
    network: NetworkOptions | None = None
    augmentation: AugmentationOptions | None = None
    augmented_views: int | None = None
    unknown_coverage: float | None = None

    def __post_init__(self) -> None:
        check_range("augmented_views", self.augmented_views, least=1, most=MOST_COPIES, whole=True)
        check_range("unknown_coverage", self.unknown_coverage, above=0, most=1)
        if self.network and self.fine_tuning:
            raise OptionError(f"`architecture`={self.network.architecture} is trained from scratch; there is nothing "
                              "to fine-tune.", "Omit `fine_tuning`.")
        if self.all_layers and self.sgd:
            raise OptionError("`sgd` is for the last layer alone.", "Omit it, or train no other layers.")
        if self.all_layers and self.augmentation:
            raise OptionError("`augmentation` is for the last layer alone; a network's options have their own.",
                              "Give it there.")
        if self.all_layers and self.augmented_views:
            raise OptionError("`augmented_views` is for the last layer alone: when all layers are trained, photos are "
                              "varied anew at every step.", "Omit it.")

    def with_seed(self, seed: int) -> TrainingOptions:
        """Return the same options with the seed of all that is random in the training of all layers."""
        return replace(self, network=self.network and replace(self.network, seed=seed),
                       fine_tuning=self.fine_tuning and replace(self.fine_tuning, seed=seed))

    @property
    def all_layers(self) -> FineTuningOptions | NetworkOptions | None:
        """How all layers are trained, or None where the last one alone is."""
        return self.network or self.fine_tuning

    @property
    def copies(self) -> tuple[AugmentationOptions, int] | None:
        """How photos are varied for the last layer alone and how many copies of each there are, or None."""
        if self.all_layers or not (self.augmentation or self.augmented_views):
            return None
        return self.augmentation or USUAL_AUGMENTATION, self.augmented_views or USUAL_COPIES


@dataclass(frozen=True)
class CopiesExtracted:
    """Event: there are bottlenecks of `copies` varied copies of each of `photos`; `computed` were not in the cache."""

    copies: int
    photos: int
    computed: int


@dataclass(frozen=True)
class HeadSolved:
    """Event: the last layer has been solved."""

    fit: HeadFit


@dataclass(frozen=True)
class NetworksCompared:
    """Event: the fine-tuned network has been compared with the one it was made from; `choice` is what came of it."""

    choice: str


class Trained(NamedTuple):
    """What labels photos: an extractor, what it sees in the photos, their split, and the last layer with how it was
    found. Photos that went or changed while a network was trained are in neither. `choice`: how fine-tuning compares
    with the network as it was, and which is kept; empty where nothing was to choose."""

    extractor: Extractor
    bottlenecks: Bottlenecks
    split: Split
    fit: Fit
    choice: str = ""


class Training(NamedTuple):
    """One training: what every part of it needs to know.

    Attributes:
        options: what is trained, and how.
        extractor: where pretrained networks come from, and the size of a network's input.
        bottleneck_dir: folder of the cache, and of checkpoints.
        on_event: is told how it goes.
    """

    options: TrainingOptions
    extractor: ExtractorOptions
    bottleneck_dir: Path
    on_event: Listener


def train(extractor: Extractor | None, seen: Bottlenecks, split: Split, training: Training,
          on_store: Callable[[StepsFit], None]) -> Trained:
    """Train the last layer on what the extractor sees, and all layers where that was asked.

    Args:
        extractor: what saw the photos; None where a network from scratch is all that is wanted.
        seen: their bottlenecks.
        split: of the same photos.
        training: how.
        on_store: is handed a training by steps as it stands, as often as was asked.

    Raises:
        TrainingError: the options do not fit the photos or the extractor.
    """
    options = training.options
    if extractor and not options.network:
        trained = Trained(extractor, seen, split, _train_last_layer(extractor, seen, split, training, on_store))
        if options.fine_tuning:
            trained = _fine_tune(options.fine_tuning, trained, training)
    else:
        trained = _train_from_scratch(training, seen, split)
    if options.unknown_coverage:
        return trained._replace(fit=_with_unknown_score(trained.fit, trained.bottlenecks, trained.split,
                                                        options.unknown_coverage))
    return trained


def _train_last_layer(extractor: Extractor, seen: Bottlenecks, split: Split, training: Training,
                      on_store: Callable[[StepsFit], None]) -> Fit:
    variations, options = None, training.options
    if options.copies:
        with stage("extract varied photos"):
            variations = _vary(extractor, seen, split, training)
    with stage("head"):
        if options.sgd is not None:
            return _fit_by_steps(seen, split, options.sgd, variations, training.on_event, on_store)
        fit = _fit_to_optimum(seen, split, options.head, variations)
        training.on_event(HeadSolved(fit))
        return fit


def _vary(extractor: Extractor, seen: Bottlenecks, split: Split, training: Training) -> Variations:
    """Bottlenecks of varied training and validation photos; of a photo that is gone by now, those of it as it was."""
    rows = np.concatenate([split.rows(TRAINING), split.rows(VALIDATION)])
    photos = [seen.dataset.photos[row] for row in rows]
    assert training.options.copies
    augmentation, count = training.options.copies
    found, computed = extract_augmented(photos, extractor, training.bottleneck_dir, augmentation, count)
    training.on_event(CopiesExtracted(count, len(rows), computed))
    gone = np.isnan(found).any((1, 2))
    if gone.any():
        log.warning("Gone or changed before they could be varied: %d of the photos.", gone.sum())
        found[gone] = seen.features[rows[gone], None]
    return Variations(*np.split(found, [len(split.rows(TRAINING))]))


def _fine_tune(options: FineTuningOptions, frozen: Trained, training: Training) -> Trained:
    """All layers, from the frozen network; whichever of both answers the validation photos better."""
    extractor, seen, split, *_ = frozen
    head = training.options.head
    network = load_network(training.extractor)
    # It starts without the validation photos, which tell its best epoch.
    without_validation = replace(head, refit=False)
    start = _fit_to_optimum(seen, split, without_validation)
    untrained = to_fine_tune(network, extractor, start.head, options)
    trained, bottlenecks, left, fit = _train_all_layers(untrained, options, seen, split, training)
    # The last layer fits its training photos all but perfectly by then; solved again, it answers new ones better.
    solved = _fit_to_optimum(bottlenecks, left, without_validation)
    same = _same_photos(seen, bottlenecks)
    before = _losses(start.head, same, left.rows(VALIDATION))
    gain = before - _losses(solved.head, bottlenecks, left.rows(VALIDATION))
    # A difference that few photos show may be chance, so it must be more than its standard error.
    error = gain.std(ddof=1) / len(gain) ** 0.5 if len(gain) > 1 else np.inf
    better = gain.mean() > error
    kept = "the fine-tuned network is kept" if better else "the network as it was is kept"
    state = f"step {fit.steps}" if fit.best is None else f"epoch {fit.best + 1}"
    choice = (f"Validation loss {before.mean():.4f} before fine-tuning, {(before - gain).mean():.4f} after {state}, "
              f"with the last layer solved again ({'better' if gain.mean() > 0 else 'worse'} by "
              f"{abs(gain.mean()):.4f} ± {error:.4f}): {kept}")
    training.on_event(NetworksCompared(choice))
    if not better:
        return frozen._replace(bottlenecks=same, split=left, choice=choice)
    final = _fit_to_optimum(bottlenecks, left, head) if head.refit else solved
    return Trained(trained, bottlenecks, left, replace(fit, head=final.head, solved=final), choice)


def _losses(head: Head, bottlenecks: Bottlenecks, rows: np.ndarray) -> np.ndarray:
    """Cross-entropy of some photos, each, in nats: float64 [rows]."""
    answers = head.log_probabilities(bottlenecks.features[rows]).astype(np.float64)
    return -np.maximum(answers[np.arange(len(rows)), bottlenecks.dataset.targets[rows]], np.log(1e-12))


def _train_from_scratch(training: Training, seen: Bottlenecks, split: Split) -> Trained:
    options, source = training.options.network, training.extractor
    assert options is not None
    untrained = from_scratch(options, source.image_size, options.seed, lambda size, pretrained: build_application(
        "ResNet50V2", size, pretrained, source.model_dir, source.offline))
    return Trained(*_train_all_layers(untrained, options, seen, split, training))


def _train_all_layers(untrained: Untrained, options: FineTuningOptions | NetworkOptions, seen: Bottlenecks,
                      split: Split, training: Training) -> tuple[Extractor, Bottlenecks, Split, NetworkFit]:
    with stage("network"):
        trained, fit = train_whole_network(untrained, seen.dataset, split, options,
                                           training.extractor.views, training.bottleneck_dir, training.on_event)
    with stage("extract again"):
        found = extract_bottlenecks(seen.dataset, trained, training.bottleneck_dir)
    bottlenecks = _same_photos(found, seen)
    left = split
    if len(bottlenecks.dataset.photos) < len(seen.dataset.photos):
        kept = _are_among(seen, bottlenecks)
        left = split.only(seen.dataset, kept)
        log.warning("Gone or changed when the training had ended, and left out of all figures: %d of the photos.",
                    (~kept).sum())
        _check_parts(bottlenecks, split, left)
    return trained, bottlenecks, left, fit


def _are_among(some: Bottlenecks, others: Bottlenecks) -> np.ndarray:
    """Which of the photos are, unchanged, among the others: bool [photos]."""
    known = {(photo.path, photo.digest) for photo in others.dataset.photos}
    return np.array([(photo.path, photo.digest) in known for photo in some.dataset.photos], bool)


def _same_photos(some: Bottlenecks, others: Bottlenecks) -> Bottlenecks:
    """Those of the photos that are also among the others, with the labels of those."""
    kept = _are_among(some, others)
    found = some if kept.all() else some.only(kept)
    return replace(found, dataset=replace(found.dataset, labels=others.dataset.labels))


def _check_parts(bottlenecks: Bottlenecks, before: Split, left: Split) -> None:
    """Raises a TrainingError where photos that went leave a class without training, or a part without any."""
    trained = set(bottlenecks.dataset.targets[left.rows(TRAINING)])
    for number, label in enumerate(bottlenecks.dataset.labels):
        if number not in trained:
            raise TrainingError(f"All training photos of {label} went while the network was trained.",
                                "Put them back, and give the same command again: nothing is trained twice.")
    for part in (VALIDATION, TEST):
        if len(before.rows(part)) and not len(left.rows(part)):
            raise TrainingError(f"All {PARTS[part]} photos went while the network was trained.",
                                "Put them back, and give the same command again: nothing is trained twice.")


def _fit_to_optimum(bottlenecks: Bottlenecks, split: Split, options: HeadOptions,
                    variations: Variations | None = None) -> HeadFit:
    classes = bottlenecks.dataset.targets
    train, validation = split.rows(TRAINING), split.rows(VALIDATION)
    return fit_head(bottlenecks.features[train], classes[train], bottlenecks.features[validation], classes[validation],
                    len(bottlenecks.dataset.labels), options, variations)


def _fit_by_steps(bottlenecks: Bottlenecks, split: Split, options: SGDOptions, variations: Variations | None,
                  on_event: Listener, on_store: Callable[[StepsFit], None]) -> StepsFit:
    classes = bottlenecks.dataset.targets
    train, validation = split.rows(TRAINING), split.rows(VALIDATION)
    x, y = bottlenecks.features[train], classes[train]
    if variations is not None:
        varied = variations.train
        x, y = np.concatenate([x, *varied]), np.append(y, np.repeat(y, varied.shape[1]))
    return fit_head_by_steps(
        x, y, bottlenecks.features[validation], classes[validation], len(bottlenecks.dataset.labels),
        generator(split.seed), options, on_event, on_store)


def _with_unknown_score(fit: Fit, bottlenecks: Bottlenecks, split: Split, coverage: float) -> Fit:
    train, validation = split.rows(TRAINING), split.rows(VALIDATION)
    if len(validation) < FEW_FOR_COVERAGE:
        log.warning("The threshold for unknown photos rests on %d validation photos: of new ones, far more or fewer "
                    "than %.0f%% may be called unknown.", len(validation), 100 * (1 - coverage))
    unknown = fit_unknown_score(bottlenecks.features[train], bottlenecks.dataset.targets[train],
                                bottlenecks.features[validation], coverage)
    return replace(fit, head=replace(fit.head, unknown=unknown))
