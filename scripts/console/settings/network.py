"""The flags of retrain that train the whole network."""
from __future__ import annotations

import argparse
from dataclasses import dataclass

from ..errors import UserError
from ..flags import batch_size, dropout, positive_integer, whole_number
from .distortions import USUAL_DISTORTIONS, Distortions, distortions_of

RESNET = "resnet50_v2"
CONVNETS = ("lenet", "cifar_cnn", "casting_cnn")
SCRATCH_NETWORKS = (*CONVNETS, RESNET)
OPTIMIZERS = ("adamw", "adam", "rmsprop", "sgd")
FINE_TUNING_RATE, SCRATCH_RATE = 1e-4, 1e-3


@dataclass(frozen=True)
class NetworkSettings:
    """How the whole network is trained.

    Attributes:
        architecture: one of SCRATCH_NETWORKS, trained from scratch; empty: the extractor is fine-tuned.
        pretrained: begin with ImageNet's weights (resnet50_v2).
        grayscale: the network sees the brightness alone.
        epochs, batch_size, optimizer, learning_rate, dropout, patience: as the flags say.
        monitor: loss or accuracy, of the validation photos: what the best epoch is best in.
        batch_norm: whether a fine-tuned network's batches are normalised by their own statistics.
        mixed_precision: compute in 16 bits where a GPU does it faster.
        resume: refuse to begin a training that no earlier run has begun.
        checkpoint: best or last, to train no further; empty: train.
        distortions: of the photos, at every step anew.
    """

    architecture: str
    pretrained: bool
    grayscale: bool
    epochs: int
    batch_size: int
    optimizer: str
    learning_rate: float
    dropout: float | None
    patience: int
    monitor: str
    batch_norm: bool
    mixed_precision: bool
    resume: bool
    checkpoint: str
    distortions: Distortions


def add_network_flags(group: argparse._ArgumentGroup) -> None:
    """Adds the flags that are about the whole network."""
    group.add_argument("--fine_tune_epochs", type=whole_number, default=0, metavar="N", help="train all layers of the "
                       "extractor, too, for N epochs (4 do much; minutes); the better of both is kept")
    group.add_argument("--train_epochs", type=positive_integer, default=20, metavar="N", help="epochs of a network "
                       f"that --architecture trains from scratch: {', '.join(SCRATCH_NETWORKS)} (default 20)")
    group.add_argument("--batch_size", type=batch_size, default=32, metavar="N", help="photos a step (default 32)")
    group.add_argument("--optimizer", choices=OPTIMIZERS, default="adamw", help="default adamw")
    group.add_argument("--dropout", type=dropout, metavar="P", help="share of units left out (default: the network's)")
    group.add_argument("--patience", type=whole_number, default=0, metavar="N", help="end after N epochs without a "
                       "better one (default 0: go on to the last)")
    group.add_argument("--monitor", choices=["loss", "accuracy"], default="loss", help="what the best epoch is best "
                       "in, on the validation photos (default loss)")
    group.add_argument("--color_mode", choices=["rgb", "grayscale"], default="rgb", help="grayscale: a network from "
                       "scratch sees the brightness alone")
    group.add_argument("--weights", choices=["imagenet", "none"], default="none", help="to begin resnet50_v2 with "
                       "(default none)")
    group.add_argument("--batch_norm", choices=["frozen", "training"], default="frozen", help="of a network that is "
                       "fine-tuned: keep its statistics (default), or learn them from the photos")
    group.add_argument("--mixed_precision", action="store_true", help="train in 16 bits on a GPU")
    group.add_argument("--resume", action="store_true", help="go on where a training with the same flags was stopped, "
                       "and do not begin another (without it: go on, or begin)")
    group.add_argument("--checkpoint", choices=["best", "last"], default="", help="train no further: make the files "
                       "from this checkpoint of a training with the same flags that was stopped")


def network_settings(flags: argparse.Namespace) -> NetworkSettings | None:
    """What those flags say, or None where the extractor stays as it is; raises UserError for what does not fit."""
    architecture = flags.architecture.lower() if flags.architecture.lower() in SCRATCH_NETWORKS else ""
    if architecture and flags.tfhub_module:
        raise UserError(f"--architecture={architecture} is trained from scratch and needs no --tfhub_module.",
                        "Give one of them.", exit_code=2)
    if architecture and flags.fine_tune_epochs:
        raise UserError(f"--architecture={architecture} is trained from scratch; its epochs are --train_epochs.",
                        exit_code=2)
    if flags.weights == "imagenet" and architecture != RESNET:
        raise UserError("--weights=imagenet is for --architecture=resnet50_v2; other extractors have theirs.",
                        exit_code=2)
    if flags.color_mode == "grayscale" and architecture not in CONVNETS:
        raise UserError(f"--color_mode=grayscale is for networks from scratch ({', '.join(CONVNETS)}).",
                        exit_code=2)
    if not (architecture or flags.fine_tune_epochs):
        if flags.checkpoint or flags.resume:
            raise UserError(f"--{'resume' if flags.resume else 'checkpoint'} is for a training of all layers "
                            "(--fine_tune_epochs or --architecture); without one there are no checkpoints.",
                            exit_code=2)
        return None
    if flags.augmented_views:
        raise UserError("--augmented_views is for the last layer alone: when all layers are trained, photos are "
                        "varied anew at every step.", "Leave it away.", exit_code=2)
    if architecture and flags.batch_norm == "training":
        raise UserError("--batch_norm is for --fine_tune_epochs; a network from scratch always learns its own.",
                        exit_code=2)
    if not flags.validation_percentage:
        raise UserError("Training a network needs validation photos to tell its best epoch by.",
                        "Give a --validation_percentage above 0.", exit_code=2)
    distortions = distortions_of(flags)
    if not (architecture or distortions):
        distortions = USUAL_DISTORTIONS  # fine-tuning varies photos unless told how
    return NetworkSettings(
        architecture=architecture, pretrained=flags.weights == "imagenet",
        grayscale=flags.color_mode == "grayscale",
        epochs=flags.train_epochs if architecture else flags.fine_tune_epochs, batch_size=flags.batch_size,
        optimizer=flags.optimizer,
        learning_rate=flags.learning_rate or (SCRATCH_RATE if architecture else FINE_TUNING_RATE),
        dropout=flags.dropout if architecture in CONVNETS else None, patience=flags.patience,
        monitor=flags.monitor, batch_norm=flags.batch_norm == "training", mixed_precision=flags.mixed_precision,
        resume=flags.resume, checkpoint=flags.checkpoint, distortions=distortions)
