"""What a retrain trains: the last layer alone, all layers after it, or a network from nothing."""
from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tfpoets.data import (DEFAULT_AUGMENTATION, PARTS, TEST, TRAINING, VALIDATION, AugmentationOptions, Dataset,
                          Examples, Photo)
from tfpoets.errors import OptionError, TrainingError, check_type, check_range
from tfpoets.evaluation import MIN_PROBABILITY, cross_entropy
from tfpoets.extractors import (Extractor, ExtractorOptions, build_application, extract_augmented, extract_bottlenecks,
                                load_network)
from tfpoets.progress import stage

from .all_layers import (FineTuningOptions, NetworkOptions, UntrainedNetwork, from_scratch, to_fine_tune,
                         train_all_layers)
from .lbfgs import HeadOptions, LBFGSFit, fit_head
from .linear_head import LinearHead
from .sgd import SGDOptions
from .trainers import Head, HeadFit, trainer_for
from .training_loop import NetworkFit
from .unknown_score import RejectingHead, fit_unknown_score

log = logging.getLogger(__name__)

# With fewer validation photos than this a share of 95 % or so cannot be kept well.
FEW_FOR_COVERAGE = 40

# Of each photo, where its augmentation is asked for and no number of views.
DEFAULT_VIEWS = 4
MAX_VIEWS = 100
# Is told of every event: of those below, and of those of the trainers (Step, Epoch, ...).
Listener = Callable[[Any], None]


@dataclass(frozen=True)
class TrainingOptions:
    """What is trained, and how.

    Attributes:
        head: how the last layer is trained: the options of one of HEAD_TRAINERS, which also choose the trainer.
        fine_tuning: train all layers of the extractor, after the last one; None: leave it as it is.
        network: train a network from scratch instead of using the extractor; None: do not.
        augmentation: how photos are varied for the last layer alone; None: they are not.
        augmented_views: augmented views of each photo, for the last layer alone; None: none without `augmentation`,
            else DEFAULT_VIEWS.
        unknown_coverage: call photos unlike the training photos unknown, but not this share of the validation photos;
            None: never.
    """

    head: Any = HeadOptions()
    fine_tuning: FineTuningOptions | None = None
    network: NetworkOptions | None = None
    augmentation: AugmentationOptions | None = None
    augmented_views: int | None = None
    unknown_coverage: float | None = None

    def __post_init__(self) -> None:
        for name, kind in (("fine_tuning", FineTuningOptions), ("network", NetworkOptions),
                           ("augmentation", AugmentationOptions)):
            check_type(name, getattr(self, name), kind, optional=True)
        check_range("augmented_views", self.augmented_views, minimum=1, maximum=MAX_VIEWS, integer=True)
        check_range("unknown_coverage", self.unknown_coverage, above=0, maximum=1)
        if self.network and self.fine_tuning:
            raise OptionError(f"`architecture`={self.network.architecture} is trained from scratch; there is nothing "
                              "to fine-tune.", "Omit `fine_tuning`.")
        solver = trainer_for(self.head).name
        if self.all_layers and not isinstance(self.head, HeadOptions):
            raise OptionError(f"`solver`={solver} is for the last layer alone.", "Omit it, or train no other layers.")
        if self.all_layers and self.augmentation:
            raise OptionError("`augmentation` is for the last layer alone; a network's options have their own.",
                              "Give it there.")
        if self.all_layers and self.augmented_views:
            raise OptionError("`augmented_views` is for the last layer alone: when all layers are trained, photos are "
                              "varied anew at every step.", "Omit it.")

    def with_seed(self, seed: int) -> TrainingOptions:
        """Return the same options with the seed of all that is random in the training."""
        seeded = any(each.name == "seed" for each in fields(self.head))
        return replace(self, head=replace(self.head, seed=seed) if seeded else self.head,
                       network=self.network and replace(self.network, seed=seed),
                       fine_tuning=self.fine_tuning and replace(self.fine_tuning, seed=seed))

    @property
    def sgd(self) -> SGDOptions | None:
        """How the last layer is trained by gradient steps, or None where another trainer trains it."""
        return self.head if isinstance(self.head, SGDOptions) else None

    @property
    def all_layers(self) -> FineTuningOptions | NetworkOptions | None:
        """How all layers are trained, or None where the last one alone is."""
        return self.network or self.fine_tuning

    @property
    def augmented(self) -> tuple[AugmentationOptions, int] | None:
        """How photos are varied for the last layer alone and how many views of each there are, or None."""
        if self.all_layers or not (self.augmentation or self.augmented_views):
            return None
        return self.augmentation or DEFAULT_AUGMENTATION, self.augmented_views or DEFAULT_VIEWS


@dataclass(frozen=True)
class AugmentedExtracted:
    """Event: there are bottlenecks of `views` augmented views of `photos` photos; `computed` were not in the cache."""

    views: int
    photos: int
    computed: int


@dataclass(frozen=True)
class NetworksCompared:
    """Event: the fine-tuned network has been compared with the one it was made from.

    Attributes:
        before, after: mean cross-entropy of the validation photos, in nats, by either network.
        error: standard error of the difference; infinite of a single photo.
        state: where the fine-tuned network stands: "epoch 3", for instance.
    """

    before: float
    after: float
    error: float
    state: str

    @property
    def gain(self) -> float:
        """By how much the fine-tuned network is better; negative where it is worse."""
        return self.before - self.after

    @property
    def kept(self) -> bool:
        """Whether the fine-tuned network is kept: a gain that few photos show may be chance."""
        return self.gain > self.error

    def sentence(self) -> str:
        """Return what was compared and what came of it, for a person."""
        return (f"Validation loss {self.before:.4f} before fine-tuning, {self.after:.4f} after {self.state}, with the "
                f"last layer solved again ({'better' if self.gain > 0 else 'worse'} by {abs(self.gain):.4f} ± "
                f"{self.error:.4f}): "
                f"{'the fine-tuned network is kept' if self.kept else 'the network as it was is kept'}")


class TrainingResult(NamedTuple):
    """What labels photos.

    Attributes:
        extractor: what makes the bottlenecks.
        dataset: the photos with bottlenecks and split; those that went or changed meanwhile are not in it.
        head: what answers.
        fit: how the head was found.
        compared: how fine-tuning compares with the network as it was, and which is kept; None where nothing was to
            choose.
        augmented: of the training photos, for the last layer alone; None without.
    """

    extractor: Extractor
    dataset: Dataset
    head: Head
    fit: HeadFit
    compared: NetworksCompared | None = None
    augmented: AugmentedExtracted | None = None


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


def train(extractor: Extractor | None, dataset: Dataset, training: Training) -> TrainingResult:
    """Train the last layer on what the extractor sees, and all layers where that was asked.

    Args:
        extractor: what saw the photos; None where a network from scratch is all that is wanted.
        dataset: the photos with bottlenecks and split.
        training: how.

    Raises:
        TrainingError: the options do not fit the photos or the extractor.
    """
    options = training.options
    if extractor and not options.network:
        trained = _train_last_layer(extractor, dataset, training)
        if options.fine_tuning:
            trained = _fine_tune(options.fine_tuning, trained, training)
    else:
        trained = _train_from_scratch(training, dataset)
    if options.unknown_coverage:
        return trained._replace(head=_with_unknown_score(trained, options.unknown_coverage))
    return trained


def _train_last_layer(extractor: Extractor, dataset: Dataset, training: Training) -> TrainingResult:
    train, validation, options = dataset.part(TRAINING), dataset.part(VALIDATION), training.options
    augmented = None
    if options.augmented:
        with stage("extract augmented photos"):
            train, validation, augmented = _with_augmented(train, validation, extractor, training)
    with stage("head"):
        fit = trainer_for(options.head).fit(train, validation, options.head, training.on_event)
    return TrainingResult(extractor, dataset, fit.head, fit, augmented=augmented)


def _with_augmented(train: Examples, validation: Examples, extractor: Extractor, training: Training
                 ) -> tuple[Examples, Examples, AugmentedExtracted]:
    """Training and validation photos with augmented views; of a photo that is gone by now, it as it was."""
    photos = (*train.photos, *validation.photos)
    assert training.options.augmented
    augmentation, count = training.options.augmented
    found, computed = extract_augmented(photos, extractor, training.bottleneck_dir, augmentation, count)
    augmented = AugmentedExtracted(count, len(photos), computed)
    training.on_event(augmented)
    gone = np.isnan(found).any((1, 2))
    if gone.any():
        log.warning("Gone or changed before they could be varied: %d of the photos.", gone.sum())
        found[gone] = np.concatenate([train.X, validation.X])[gone, None]
    return replace(train, augmented=found[:len(train)]), replace(validation, augmented=found[len(train):]), augmented


def _fine_tune(options: FineTuningOptions, frozen: TrainingResult, training: Training) -> TrainingResult:
    """All layers, from the frozen network; whichever of both answers the validation photos better."""
    head = training.options.head
    network = load_network(training.extractor)
    # It starts without the validation photos, which tell its best epoch.
    without_validation = replace(head, refit=False)
    start = _solve(frozen.dataset, without_validation)
    untrained = to_fine_tune(network, frozen.extractor, start.head, options)
    extractor, dataset, fit = _train_all_layers(untrained, options, frozen.dataset, training)
    # The last layer fits its training photos all but perfectly by then; solved again, it answers new ones better.
    solved = _solve(dataset, without_validation)
    same = _same_photos(frozen.dataset, dataset)
    before = _losses(start.head, same)
    gain = before - _losses(solved.head, dataset)
    # A difference that few photos show may be chance, so it must be more than its standard error.
    error = float(gain.std(ddof=1) / len(gain) ** 0.5) if len(gain) > 1 else np.inf
    state = f"step {fit.steps}" if fit.best is None else f"epoch {fit.best + 1}"
    compared = NetworksCompared(float(before.mean()), float((before - gain).mean()), error, state)
    training.on_event(compared)
    if not compared.kept:
        return frozen._replace(dataset=same, compared=compared)
    final = _solve(dataset, head) if head.refit else solved
    return TrainingResult(extractor, dataset, final.head, replace(fit, head=final.head, solved=final), compared)


def _losses(head: LinearHead, dataset: Dataset) -> np.ndarray:
    """Cross-entropy of the validation photos, each, in nats: float64 [photos]."""
    validation = dataset.part(VALIDATION)
    answers = head.log_probabilities(validation.X).astype(np.float64)
    return np.minimum(cross_entropy(answers, validation.y), -np.log(MIN_PROBABILITY))


def _train_from_scratch(training: Training, dataset: Dataset) -> TrainingResult:
    options, source = training.options.network, training.extractor
    assert options is not None
    untrained = from_scratch(options, source.image_size, options.seed, lambda size, pretrained: build_application(
        "ResNet50V2", size, pretrained, source.model_dir, source.offline))
    extractor, found, fit = _train_all_layers(untrained, options, dataset, training)
    return TrainingResult(extractor, found, fit.head, fit)


def _train_all_layers(untrained: UntrainedNetwork, options: FineTuningOptions | NetworkOptions, dataset: Dataset,
                      training: Training) -> tuple[Extractor, Dataset, NetworkFit]:
    """The trained network as an extractor, and the photos that are still there with its bottlenecks."""
    with stage("network"):
        extractor, fit = train_all_layers(untrained, dataset, options, training.extractor.views,
                                             training.bottleneck_dir, training.on_event)
    with stage("extract again"):
        found = extract_bottlenecks(dataset, extractor, training.bottleneck_dir).dataset
    found = _same_photos(found, dataset)
    remaining = dataset.select(_are_among(dataset, found))
    if len(remaining) < len(dataset):
        log.warning("Gone or changed when the training had ended, and left out of all figures: %d of the photos.",
                    len(dataset) - len(remaining))
        _check_parts(dataset, remaining)
    return extractor, replace(remaining, X=found.X), fit


def _are_among(some: Dataset, others: Dataset) -> np.ndarray:
    """Which of the photos are, unchanged, among the others: bool [photos]."""
    known = {_identity(photo) for photo in others.photos}
    return np.array([_identity(photo) in known for photo in some.photos], bool)


def _identity(photo: Photo) -> tuple[str, str]:
    return photo.uri, photo.digest


def _same_photos(some: Dataset, others: Dataset) -> Dataset:
    """Those of the photos that are also among the others, with the labels of those."""
    return replace(some.select(_are_among(some, others)), labels=others.labels)


def _check_parts(before: Dataset, remaining: Dataset) -> None:
    """Raises a TrainingError where photos that went leave a class without training, or a part without any."""
    trained = set(remaining.part(TRAINING).y)
    for number, label in enumerate(remaining.labels):
        if number not in trained:
            raise TrainingError(f"All training photos of {label} went while the network was trained.",
                                "Put them back, and give the same command again: nothing is trained twice.")
    for part in (VALIDATION, TEST):
        if len(before.rows(part)) and not len(remaining.rows(part)):
            raise TrainingError(f"All {PARTS[part]} photos went while the network was trained.",
                                "Put them back, and give the same command again: nothing is trained twice.")


def _solve(dataset: Dataset, options: HeadOptions) -> LBFGSFit:
    return fit_head(dataset.part(TRAINING), dataset.part(VALIDATION), options)


def _with_unknown_score(trained: TrainingResult, coverage: float) -> RejectingHead:
    train, validation = trained.dataset.part(TRAINING), trained.dataset.part(VALIDATION)
    if len(validation) < FEW_FOR_COVERAGE:
        log.warning("The threshold for unknown photos rests on %d validation photos: of new ones, far more or fewer "
                    "than %.0f%% may be called unknown.", len(validation), 100 * (1 - coverage))
    return RejectingHead(trained.head, fit_unknown_score(train, validation, coverage))
