"""What a retrain trains: the last layer alone, all layers after it, or a network from nothing."""
from __future__ import annotations

import datetime
import logging
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scripts.console import LINE_WIDTH, UserError, stage
from scripts.console.settings import Distortions, NetworkSettings, RetrainSettings, StepSettings
from scripts.features import (Bottlenecks, Extractor, build_application, extract_bottlenecks, extract_distorted,
                              load_network)
from scripts.photos import PARTS, TEST, TRAINING, VALIDATION, Split

from .head import Head, HeadFit, Variations, fit_head
from .loop import Epoch, NetworkFit
from .steps import Step, StepsFit, fit_head_by_steps, generator
from .unknown import fit_unknown_score
from .whole_network import Untrained, from_scratch, to_fine_tune, train_whole_network

log = logging.getLogger("scripts.retrain")

# With fewer validation photos than this a share of 95 % or so cannot be kept well.
FEW_FOR_COVERAGE = 40

# What a training gives.
Fit = HeadFit | StepsFit | NetworkFit


class Trained(NamedTuple):
    """What labels photos: an extractor, what it sees in the photos, their split, and the last layer with how it was
    found. Photos that went or changed while a network was trained are in neither. `choice`: how fine-tuning compares
    with the network as it was, and which is kept; empty where nothing was to choose."""

    extractor: Extractor
    bottlenecks: Bottlenecks
    split: Split
    fit: Fit
    choice: str = ""


def train(extractor: Extractor | None, seen: Bottlenecks, split: Split, settings: RetrainSettings,
          on_store: Callable[[StepsFit], None]) -> Trained:
    """Trains the last layer on what the extractor sees, and all layers where that was asked; prints how it goes.

    Args:
        extractor: what saw the photos; None where a network from scratch is all that is wanted.
        seen: their bottlenecks.
        split: of the same photos.
        settings: what was asked.
        on_store: is handed Poets' steps as they stand, as often as was asked.

    Raises:
        UserError: what was asked does not fit the photos or the extractor.
    """
    if extractor and not (settings.network and settings.network.architecture):
        trained = Trained(extractor, seen, split, _train_last_layer(extractor, seen, split, settings, on_store))
        if settings.network:
            trained = _fine_tune(settings.network, trained, settings)
    else:
        trained = _train_from_scratch(settings, seen, split)
    if settings.unknown_coverage:
        return trained._replace(fit=_with_unknown_score(trained.fit, trained.bottlenecks, trained.split,
                                                        settings.unknown_coverage))
    return trained


def _train_last_layer(extractor: Extractor, seen: Bottlenecks, split: Split, settings: RetrainSettings,
                      on_store: Callable[[StepsFit], None]) -> Fit:
    variations = None
    if settings.variations:
        with stage("extract varied photos"):
            variations = _vary(extractor, seen, split, *settings.variations, settings.bottleneck_dir)
    with stage("head"):
        if settings.steps is not None:
            return _fit_by_steps(seen, split, settings.seed, settings.steps, variations, on_store)
        fit = _fit_to_optimum(seen, split, settings, settings.refit, variations)
        again = "; trained again with the validation photos" if fit.refitted else ""
        print(f"Head: L2 strength {fit.l2:.2g}{again}", flush=True)
        return fit


def _vary(extractor: Extractor, seen: Bottlenecks, split: Split, distortions: Distortions, count: int,
          bottleneck_dir: Path) -> Variations:
    """Bottlenecks of varied training and validation photos; of a photo that is gone by now, those of it as it was."""
    rows = np.concatenate([split.rows(TRAINING), split.rows(VALIDATION)])
    photos = [seen.tree.photos[row] for row in rows]
    found, computed = extract_distorted(photos, extractor, bottleneck_dir, distortions, count)
    print(f"Bottlenecks of {count} varied copies of {len(rows)} photos: {computed} computed", flush=True)
    gone = np.isnan(found).any((1, 2))
    if gone.any():
        log.warning("Gone or changed before they could be varied: %d of the photos.", gone.sum())
        found[gone] = seen.matrix[rows[gone], None]
    return Variations(*np.split(found, [len(split.rows(TRAINING))]))


def _fine_tune(network: NetworkSettings, frozen: Trained, settings: RetrainSettings) -> Trained:
    """All layers, from the frozen network; whichever of both answers the validation photos better."""
    extractor, seen, split, *_ = frozen
    loaded = load_network(settings.extractor.tfhub_module, settings.extractor.model_dir,
                          settings.extractor.image_size, settings.extractor.offline)
    # It starts without the validation photos, which tell its best epoch.
    start = _fit_to_optimum(seen, split, settings, refit=False)
    untrained = to_fine_tune(loaded, extractor, start.head, network.batch_norm)
    trained, bottlenecks, left, fit = _train_all_layers(untrained, network, seen, split, settings)
    # The last layer fits its training photos all but perfectly by then; solved again, it answers new ones better.
    solved = _fit_to_optimum(bottlenecks, left, settings, refit=False)
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
    print(textwrap.fill(choice, LINE_WIDTH, subsequent_indent="  "), flush=True)
    if not better:
        return frozen._replace(bottlenecks=same, split=left, choice=choice)
    final = _fit_to_optimum(bottlenecks, left, settings, refit=True) if settings.refit else solved
    return Trained(trained, bottlenecks, left, replace(fit, head=final.head, solved=final), choice)


def _losses(head: Head, bottlenecks: Bottlenecks, rows: np.ndarray) -> np.ndarray:
    """Cross-entropy of some photos, each, in nats: float64 [rows]."""
    answers = head.log_probabilities(bottlenecks.matrix[rows]).astype(np.float64)
    return -np.maximum(answers[np.arange(len(rows)), bottlenecks.tree.classes()[rows]], np.log(1e-12))


def _train_from_scratch(settings: RetrainSettings, seen: Bottlenecks, split: Split) -> Trained:
    assert settings.network is not None
    untrained = from_scratch(settings.network, settings.extractor.image_size, settings.seed,
                             lambda size, pretrained: build_application(
                                 "ResNet50V2", size, pretrained, settings.extractor.model_dir,
                                 settings.extractor.offline))
    return Trained(*_train_all_layers(untrained, settings.network, seen, split, settings))


def _train_all_layers(untrained: Untrained, network: NetworkSettings, seen: Bottlenecks, split: Split,
                      settings: RetrainSettings) -> tuple[Extractor, Bottlenecks, Split, NetworkFit]:
    with stage("network"):
        trained, fit = train_whole_network(untrained, seen.tree, split, network, settings.seed,
                                           settings.extractor.views, settings.bottleneck_dir, _say_epoch)
    with stage("extract again"):
        found = extract_bottlenecks(seen.tree, trained, settings.bottleneck_dir)
    bottlenecks = _same_photos(found, seen)
    left = split
    if len(bottlenecks.tree.photos) < len(seen.tree.photos):
        kept = _are_among(seen, bottlenecks)
        left = split.only(seen.tree, kept)
        log.warning("Gone or changed when the training had ended, and left out of all figures: %d of the photos.",
                    (~kept).sum())
        _check_parts(bottlenecks, split, left)
    return trained, bottlenecks, left, fit


def _are_among(some: Bottlenecks, others: Bottlenecks) -> np.ndarray:
    """Which of the photos are, unchanged, among the others: bool [photos]."""
    known = {(photo.path, photo.digest) for photo in others.tree.photos}
    return np.array([(photo.path, photo.digest) in known for photo in some.tree.photos], bool)


def _same_photos(some: Bottlenecks, others: Bottlenecks) -> Bottlenecks:
    """Those of the photos that are also among the others, with the labels of those."""
    kept = _are_among(some, others)
    found = some if kept.all() else some.only(kept)
    return replace(found, tree=replace(found.tree, labels=others.tree.labels))


def _check_parts(bottlenecks: Bottlenecks, before: Split, left: Split) -> None:
    """Raises a UserError where photos that went leave a class without training, or a part without any."""
    trained = set(bottlenecks.tree.classes()[left.rows(TRAINING)])
    for number, label in enumerate(bottlenecks.tree.labels):
        if number not in trained:
            raise UserError(f"All training photos of {label} went while the network was trained.",
                            "Put them back, and give the same command again: nothing is trained twice.")
    for part in (VALIDATION, TEST):
        if len(before.rows(part)) and not len(left.rows(part)):
            raise UserError(f"All {PARTS[part]} photos went while the network was trained.",
                            "Put them back, and give the same command again: nothing is trained twice.")


def _say_epoch(epoch: Epoch) -> None:
    print(f"Epoch {epoch.number + 1}: train loss {epoch.train_loss:.4f}, accuracy {epoch.train_accuracy:.1%}; "
          f"validation loss {epoch.validation_loss:.4f}, {epoch.validation_accuracy:.1%}", flush=True)


def _fit_to_optimum(bottlenecks: Bottlenecks, split: Split, settings: RetrainSettings, refit: bool,
                    variations: Variations | None = None) -> HeadFit:
    classes = bottlenecks.tree.classes()
    train, validation = split.rows(TRAINING), split.rows(VALIDATION)
    return fit_head(bottlenecks.matrix[train], classes[train], bottlenecks.matrix[validation], classes[validation],
                    len(bottlenecks.tree.labels), balanced=settings.balanced, refit=refit, variations=variations)


def _fit_by_steps(bottlenecks: Bottlenecks, split: Split, seed: int, steps: StepSettings,
                  variations: Variations | None, on_store: Callable[[StepsFit], None]) -> StepsFit:
    """Poets' training, with Poets' lines."""
    classes = bottlenecks.tree.classes()
    train, validation = split.rows(TRAINING), split.rows(VALIDATION)
    x, y = bottlenecks.matrix[train], classes[train]
    if variations is not None:
        varied = variations.train
        x, y = np.concatenate([x, *varied]), np.append(y, np.repeat(y, varied.shape[1]))
    return fit_head_by_steps(
        x, y, bottlenecks.matrix[validation], classes[validation], len(bottlenecks.tree.labels),
        generator(seed), count=steps.how_many_training_steps, learning_rate=steps.learning_rate,
        batch_size=steps.train_batch_size, validation_batch_size=steps.validation_batch_size,
        interval=steps.eval_step_interval, on_step=_say_step, store_interval=steps.intermediate_store_frequency,
        on_store=on_store)


def _with_unknown_score(fit: Fit, bottlenecks: Bottlenecks, split: Split, coverage: float) -> Fit:
    train, validation = split.rows(TRAINING), split.rows(VALIDATION)
    if len(validation) < FEW_FOR_COVERAGE:
        log.warning("The threshold for unknown photos rests on %d validation photos: of new ones, far more or fewer "
                    "than %.0f%% may be called unknown.", len(validation), 100 * (1 - coverage))
    unknown = fit_unknown_score(bottlenecks.matrix[train], bottlenecks.tree.classes()[train],
                                bottlenecks.matrix[validation], coverage)
    return replace(fit, head=replace(fit.head, unknown=unknown))


def _say_step(step: Step) -> None:
    now = datetime.datetime.now()
    print(f"{now}: Step {step.number}: Train accuracy = {step.train_accuracy:.1%}")
    print(f"{now}: Step {step.number}: Cross entropy = {step.train_loss:f}")
    if step.validation_count:
        print(f"{now}: Step {step.number}: Validation accuracy = {step.validation_accuracy:.1%} "
              f"(N={step.validation_count})")
