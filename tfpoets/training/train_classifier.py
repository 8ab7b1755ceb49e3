"""Train a classifier: only its last layer, all layers of its network, or a network from scratch."""
from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from tfpoets.data import (DEFAULT_AUGMENTATION, PARTS, TEST, TRAINING, VALIDATION, AugmentationOptions, Dataset,
                          Examples, Photo, StoredRows, rows_with_nan)
from tfpoets.errors import OptionError, TrainingError, check_range, check_type
from tfpoets.extractors import (ExecutionOptions, Extractor, ExtractorOptions, Network, extract_augmented,
                                extract_bottlenecks, load_network)
from tfpoets.progress import stage

from .all_layers import FineTuningOptions, NetworkOptions, prepare_fine_tuning, train_all_layers
from .fine_tuning_comparison import FineTuningComparison, compare_losses, validation_losses
from .initial_network import InitialNetwork
from .lbfgs import HeadOptions, LBFGSFit, fit_head
from .network_fit import NetworkFit
from .sgd import SGDOptions
from .trainers import Head, HeadFit, trainer_for
from .unknown_score import RejectingHead, fit_unknown_score

log = logging.getLogger(__name__)

# With fewer validation photos than this, a threshold with a coverage of about 95% is unreliable.
MIN_PHOTOS_FOR_COVERAGE = 40
# The number of augmented views of each photo if only `augmentation` is given.
DEFAULT_AUGMENTED_VIEWS = 4
MAX_AUGMENTED_VIEWS = 100
# A function that is called with every event of this module and of the trainers (StepMetrics, EpochMetrics, ...).
EventCallback = Callable[[Any], None]


@dataclass(frozen=True)
class TrainingOptions:
    """What to train, and how.

    Attributes:
        head: How to train the last layer: the options of one of HEAD_TRAINERS. Their class selects the trainer.
        fine_tuning: How to fine-tune all layers of the extractor once the last layer has been trained; None to leave
            the extractor unchanged.
        network: Which network to train from scratch instead of using the extractor; None to use the extractor.
        augmentation: How photos are augmented when only the last layer is trained. None: DEFAULT_AUGMENTATION if
            `augmented_views` is set, otherwise no augmentation.
        augmented_views: The number of augmented views of each photo when only the last layer is trained. None means
            DEFAULT_AUGMENTED_VIEWS with `augmentation`, and no views without it.
        unknown_coverage: The fraction of the validation photos that must not be called unknown, or None for a
            classifier that never calls photos unknown.
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
        check_range("augmented_views", self.augmented_views, minimum=1, maximum=MAX_AUGMENTED_VIEWS, integer=True)
        check_range("unknown_coverage", self.unknown_coverage, above=0, maximum=1)
        if self.network and self.fine_tuning:
            raise OptionError(f"`architecture`={self.network.architecture} is trained from scratch: there is nothing "
                              "to fine-tune.", "Omit `fine_tuning`.")
        solver = trainer_for(self.head).name
        if self.all_layers and not isinstance(self.head, HeadOptions):
            raise OptionError(f"`solver`={solver} trains only the last layer.",
                              "Omit it, or do not train all layers.")
        if self.all_layers and self.augmentation:
            raise OptionError("`augmentation` is for training only the last layer.",
                              "Set the augmentation of `fine_tuning` or `network` instead.")
        if self.all_layers and self.augmented_views:
            raise OptionError("`augmented_views` is for training only the last layer: training all layers augments "
                              "the photos in every step.", "Omit it.")

    def with_seed(self, seed: int) -> TrainingOptions:
        """Return the same options, with this seed for everything that is random in training."""
        has_seed = any(field.name == "seed" for field in fields(self.head))
        return replace(self, head=replace(self.head, seed=seed) if has_seed else self.head,
                       network=self.network and replace(self.network, seed=seed),
                       fine_tuning=self.fine_tuning and replace(self.fine_tuning, seed=seed))

    @property
    def sgd(self) -> SGDOptions | None:
        """The options of gradient descent for the last layer, or None if another solver trains it."""
        return self.head if isinstance(self.head, SGDOptions) else None

    @property
    def all_layers(self) -> FineTuningOptions | NetworkOptions | None:
        """The options of training all layers, or None if only the last layer is trained."""
        return self.network or self.fine_tuning

    @property
    def augmentation_and_views(self) -> tuple[AugmentationOptions, int] | None:
        """The augmentation and the number of views of each photo for the last layer, or None without augmentation."""
        if self.all_layers or not (self.augmentation or self.augmented_views):
            return None
        return self.augmentation or DEFAULT_AUGMENTATION, self.augmented_views or DEFAULT_AUGMENTED_VIEWS


@dataclass(frozen=True)
class AugmentedViewsExtracted:
    """Event: the bottlenecks of augmented views are available.

    Attributes:
        views: The number of views of each photo.
        photos: The number of photos.
        computed: The number of bottlenecks that were not in the cache.
    """

    views: int
    photos: int
    computed: int


@dataclass(frozen=True, eq=False)
class TrainingResult:
    """A trained classifier, before export.

    Attributes:
        extractor: The extractor.
        dataset: The photos with bottlenecks and split, without those that were deleted or changed during training.
        head: The head.
        fit: How the head was trained.
        comparison: The comparison of the fine-tuned and the original network; None without fine-tuning.
        augmented_views: The augmented views that the last layer was trained on; None without augmentation.
        network: The network with its trained weights; None if the extractor's network was not changed.
    """

    extractor: Extractor
    dataset: Dataset
    head: Head
    fit: HeadFit
    comparison: FineTuningComparison | None = None
    augmented_views: AugmentedViewsExtracted | None = None
    network: Network | None = None


@dataclass(frozen=True)
class TrainingContext:
    """The settings shared by all steps of training.

    Attributes:
        options: What to train, and how.
        extractor_options: Where pretrained networks come from, and the size of the network's input.
        bottleneck_dir: The folder of the cache and the checkpoints.
        on_event: Called with every event.
        build_network: Returns the network to train from scratch, given its options, those of its input, and the number
            of classes.
        execution: How bottlenecks are computed.
    """

    options: TrainingOptions
    extractor_options: ExtractorOptions
    bottleneck_dir: Path
    on_event: EventCallback
    build_network: Callable[[NetworkOptions, ExtractorOptions, int], InitialNetwork]
    execution: ExecutionOptions = ExecutionOptions()


def train(extractor: Extractor | None, dataset: Dataset, context: TrainingContext) -> TrainingResult:
    """Train the last layer on the extractor's bottlenecks, and all layers if requested.

    Args:
        extractor: The extractor of the bottlenecks; None if only a network trained from scratch is needed.
        dataset: The photos, with bottlenecks and split.
        context: The options and settings for training.

    Raises:
        TrainingError: Training fails, or the options do not fit the photos or the extractor.
    """
    options = context.options
    if extractor and not options.network:
        result = _train_head(extractor, dataset, context)
        if options.fine_tuning:
            result = _fine_tune(options.fine_tuning, result, context)
    else:
        result = _train_from_scratch(dataset, context)
    if options.unknown_coverage:
        return replace(result, head=_add_unknown_score(result, options.unknown_coverage))
    return result


def _train_head(extractor: Extractor, dataset: Dataset, context: TrainingContext) -> TrainingResult:
    """Train the head alone, with augmented views if requested."""
    train, validation, options = dataset.part(TRAINING), dataset.part(VALIDATION), context.options
    augmented_views = None
    if options.augmentation_and_views:
        with stage("extract augmented photos"):
            train, validation, augmented_views = _add_augmented_views(train, validation, extractor, context)
    with stage("head"):
        fit = trainer_for(options.head).fit(train, validation, options.head, context.on_event)
    return TrainingResult(extractor, dataset, fit.head, fit, augmented_views=augmented_views)


def _add_augmented_views(train: Examples, validation: Examples, extractor: Extractor, context: TrainingContext
                         ) -> tuple[Examples, Examples, AugmentedViewsExtracted]:
    """Return the examples with augmented views. Deleted photos get their original bottleneck instead."""
    photos = (*train.photos, *validation.photos)
    assert context.options.augmentation_and_views
    augmentation, n_views = context.options.augmentation_and_views
    views, computed = extract_augmented(photos, extractor, context.bottleneck_dir, augmentation, n_views,
                                        context.execution)
    event = AugmentedViewsExtracted(n_views, len(photos), computed)
    context.on_event(event)
    is_missing = rows_with_nan(views)
    if is_missing.any():
        log.warning("Photos deleted or changed before they could be augmented: %d.", is_missing.sum())
        views[is_missing] = StoredRows([train.X, validation.X])[is_missing][:, None]
    return replace(train, augmented=views[:len(train)]), replace(validation, augmented=views[len(train):]), event


def _fine_tune(options: FineTuningOptions, original: TrainingResult, context: TrainingContext) -> TrainingResult:
    """Fine-tune all layers, and return the better network on the validation photos: original or fine-tuned."""
    head_options = context.options.head
    network = load_network(context.extractor_options)
    # The initial head is not fitted to the validation photos, because the best epoch is chosen on them.
    without_refit = replace(head_options, refit=False)
    original_head = _fit_lbfgs(original.dataset, without_refit).head
    initial = prepare_fine_tuning(network, original.extractor, original_head, options)
    extractor, dataset, fit = _train_all_layers(initial, options, original.dataset, context)
    # By now the head overfits the training photos. Fitting it again makes it more accurate on new photos.
    head_fit = _fit_lbfgs(dataset, without_refit)
    remaining = _select_common(original.dataset, dataset)
    comparison = compare_losses(validation_losses(original_head, remaining),
                          validation_losses(head_fit.head, dataset), dataset, fit)
    context.on_event(comparison)
    if not comparison.is_better:
        return replace(original, dataset=remaining, comparison=comparison)
    if head_options.refit:
        head_fit = _fit_lbfgs(dataset, head_options)
    return TrainingResult(extractor, dataset, head_fit.head, replace(fit, head=head_fit.head, head_fit=head_fit),
                          comparison, network=initial.network)


def _train_from_scratch(dataset: Dataset, context: TrainingContext) -> TrainingResult:
    options = context.options.network
    assert options is not None
    initial = context.build_network(options, context.extractor_options, len(dataset.labels))
    extractor, remaining, fit = _train_all_layers(initial, options, dataset, context)
    return TrainingResult(extractor, remaining, fit.head, fit, network=initial.network)


def _train_all_layers(initial: InitialNetwork, options: FineTuningOptions | NetworkOptions, dataset: Dataset,
                      context: TrainingContext) -> tuple[Extractor, Dataset, NetworkFit]:
    """Return the trained network as an extractor, the remaining photos with its bottlenecks, and the fit."""
    with stage("network"):
        extractor, fit = train_all_layers(initial, dataset, options, context.extractor_options.views,
                                          context.bottleneck_dir, context.on_event)
    with stage("extract again"):
        extracted = extract_bottlenecks(dataset, extractor, context.bottleneck_dir,
                                        execution=context.execution).dataset
    extracted = _select_common(extracted, dataset)
    remaining = dataset.select(_is_in(dataset, extracted))
    if len(remaining) < len(dataset):
        log.warning("Photos deleted or changed during training, and left out of the results: %d.",
                    len(dataset) - len(remaining))
        _check_parts(dataset, remaining)
    return extractor, replace(remaining, X=extracted.X), fit


def _is_in(dataset: Dataset, other: Dataset) -> np.ndarray:
    """Return which photos of a dataset are also in another one, with the same content: bool [photos]."""
    identities = {_identity(photo) for photo in other.photos}
    return np.array([_identity(photo) in identities for photo in dataset.photos], bool)


def _identity(photo: Photo) -> tuple[str, str]:
    return photo.uri, photo.digest


def _select_common(dataset: Dataset, other: Dataset) -> Dataset:
    """Return the photos of a dataset that are also in another one, with the labels of the other one."""
    return replace(dataset.select(_is_in(dataset, other)), labels=other.labels)


def _check_parts(before: Dataset, remaining: Dataset) -> None:
    """Raise TrainingError if a class has no training photos left, or a part of the split has no photos left."""
    remedy = "Restore them and run the same command again. Finished steps are not repeated."
    classes = set(remaining.part(TRAINING).y)
    for number, label in enumerate(remaining.labels):
        if number not in classes:
            raise TrainingError(f"All training photos of {label} were deleted or changed during training.", remedy)
    for part in (VALIDATION, TEST):
        if len(before.rows(part)) and not len(remaining.rows(part)):
            raise TrainingError(f"All {PARTS[part]} photos were deleted or changed during training.", remedy)


def _fit_lbfgs(dataset: Dataset, options: HeadOptions) -> LBFGSFit:
    return fit_head(dataset.part(TRAINING), dataset.part(VALIDATION), options)


def _add_unknown_score(result: TrainingResult, coverage: float) -> RejectingHead:
    train, validation = result.dataset.part(TRAINING), result.dataset.part(VALIDATION)
    if len(validation) < MIN_PHOTOS_FOR_COVERAGE:
        log.warning("The threshold for unknown photos is based on only %d validation photos: far more or fewer than "
                    "%.0f%% of new photos may be called unknown.", len(validation), 100 * (1 - coverage))
    return RejectingHead(result.head, fit_unknown_score(train, validation, coverage))
