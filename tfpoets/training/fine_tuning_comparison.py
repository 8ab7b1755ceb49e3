"""Compare a fine-tuned network with the original one on the validation photos."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfpoets.data import VALIDATION, Dataset, group_numbers, row_slices
from tfpoets.evaluation import MIN_PROBABILITY, cross_entropy, standard_error

from .linear_head import LinearHead
from .network_fit import NetworkFit


@dataclass(frozen=True)
class FineTuningComparison:
    """Event: the fine-tuned network has been compared with the original one.

    Attributes:
        loss_before: The mean cross-entropy of the validation photos with the original network, in nats.
        loss_after: The same with the fine-tuned network.
        standard_error: The standard error of the difference; infinite for a single photo or group.
        checkpoint: The checkpoint of the fine-tuned network, such as "epoch 3".
    """

    loss_before: float
    loss_after: float
    standard_error: float
    checkpoint: str

    @property
    def gain(self) -> float:
        """The decrease in the loss; negative if the fine-tuned network is worse."""
        return self.loss_before - self.loss_after

    @property
    def is_better(self) -> bool:
        """Whether the fine-tuned network is better by more than the standard error, and is therefore used."""
        return self.gain > self.standard_error

    def summary(self) -> str:
        """Return the comparison and its outcome as a sentence."""
        return (f"Validation loss {self.loss_before:.4f} before fine-tuning, {self.loss_after:.4f} after "
                f"{self.checkpoint}, with the last layer fitted again "
                f"({'better' if self.gain > 0 else 'worse'} by {abs(self.gain):.4f} ± {self.standard_error:.4f}): "
                f"the {'fine-tuned' if self.is_better else 'original'} network is kept")


def compare_losses(losses_before: np.ndarray, losses_after: np.ndarray, dataset: Dataset, fit: NetworkFit
             ) -> FineTuningComparison:
    """Compare the losses of the validation photos of a dataset: float64 [photos] before and after fine-tuning."""
    gain = losses_before - losses_after
    # With few photos or groups the gain may be due to chance, so it must exceed its standard error.
    error = standard_error(gain, group_numbers(dataset.part(VALIDATION).photos))
    checkpoint = f"step {fit.n_steps}" if fit.best_epoch is None else f"epoch {fit.best_epoch + 1}"
    return FineTuningComparison(float(losses_before.mean()), float((losses_before - gain).mean()),
                                np.inf if np.isnan(error) else error, checkpoint)


def validation_losses(head: LinearHead, dataset: Dataset) -> np.ndarray:
    """Return the cross-entropy of each validation photo in nats: float64 [photos]."""
    validation = dataset.part(VALIDATION)
    losses = [cross_entropy(head.log_probabilities(validation.X[rows]).astype(np.float64), validation.y[rows])
              for rows in row_slices(validation.X)]
    return np.minimum(np.concatenate(losses), -np.log(MIN_PROBABILITY))
