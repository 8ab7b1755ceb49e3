"""The learning rate during training, and the optimizers."""
from __future__ import annotations

import math
from typing import Any

from .loop_options import LoopOptions

# A network with this number of weights is fine-tuned at this learning rate unless the options set one, and a network
# with four times as many weights at half the rate. Both were chosen on validation photos; see
# tests/benchmarks/RESULTS.md. If the rule changes, increase LOOP_VERSION.
REFERENCE_WEIGHTS, REFERENCE_RATE = 400_000, 5e-4


def default_learning_rate(n_weights: int) -> float:
    """Return the peak learning rate for fine-tuning a network with this number of trainable weights."""
    return REFERENCE_RATE * (REFERENCE_WEIGHTS / n_weights) ** 0.5


def count_constant_epochs(epochs: int, schedule: str = "constant") -> int:
    """Return after how many whole epochs the learning rate begins to decrease.

    Until then it does not depend on the number of epochs, so a longer training run continues from there.

    Args:
        epochs: The number of epochs of the training run.
        schedule: One of SCHEDULES. With "cosine" the result is 0.
    """
    return {"constant": epochs - math.ceil(epochs / 4), "step": epochs // 2, "cosine": 0}[schedule]


def build_optimizer(options: LoopOptions, steps_per_epoch: int, schedule: str) -> Any:
    """Return the optimizer.

    Args:
        options: The options for training, with a learning rate. Their schedule is not used.
        steps_per_epoch: The number of steps per epoch.
        schedule: How the learning rate decreases: one of SCHEDULES.
    """
    import keras
    assert options.learning_rate is not None
    builder = {"constant": _trapezoidal_schedule, "cosine": _cosine_schedule, "step": _step_schedule}[schedule]
    rates = builder(options.learning_rate, options, steps_per_epoch)
    builders = {"adamw": lambda: keras.optimizers.AdamW(rates, weight_decay=options.weight_decay),
                "adam": lambda: keras.optimizers.Adam(rates), "rmsprop": lambda: keras.optimizers.RMSprop(rates),
                "sgd": lambda: keras.optimizers.SGD(rates, momentum=0.9)}
    return builders[options.optimizer]()


def _trapezoidal_schedule(rate: float, options: LoopOptions, steps_per_epoch: int) -> Any:
    """Return the schedule of a warm-up, a constant learning rate, and a linear decay (Hägele et al. 2024)."""
    import keras
    n_steps = steps_per_epoch * options.epochs
    n_decay_steps = n_steps - steps_per_epoch * count_constant_epochs(options.epochs)
    warm_up = options.warm_up if n_decay_steps < n_steps else min(options.warm_up, n_steps // 4)

    class Schedule(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step: Any) -> Any:
            step = keras.ops.cast(step, "float32")
            warmed_up = keras.ops.minimum(1.0, step / warm_up) if warm_up else 1.0
            return rate * warmed_up * keras.ops.clip((n_steps - step) / n_decay_steps, 0.0, 1.0)

        def get_config(self) -> dict[str, Any]:
            return {}
    return Schedule()


def _step_schedule(rate: float, options: LoopOptions, steps_per_epoch: int) -> Any:
    """Return the schedule of a warm-up and a rate that is divided by 10 twice, as for ResNet (He et al. 2015)."""
    import keras
    n_steps = steps_per_epoch * options.epochs
    warm_up = options.warm_up if options.epochs > 1 else min(options.warm_up, n_steps // 4)

    class Schedule(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step: Any) -> Any:
            step = keras.ops.cast(step, "float32")
            warmed_up = keras.ops.minimum(1.0, step / warm_up) if warm_up else 1.0
            decreased = keras.ops.where(step < n_steps // 2, 1.0, keras.ops.where(step < 3 * n_steps // 4, 0.1, 0.01))
            return rate * warmed_up * decreased

        def get_config(self) -> dict[str, Any]:
            return {}
    return Schedule()


def _cosine_schedule(rate: float, options: LoopOptions, steps_per_epoch: int) -> Any:
    """Return the schedule of a warm-up for at most a quarter of the steps, and a cosine decay.

    This is the only schedule of commit f862d5e.
    """
    import keras
    n_steps = steps_per_epoch * options.epochs
    warm_up = min(options.warm_up, n_steps // 4)
    return keras.optimizers.schedules.CosineDecay(
        0.0 if warm_up else rate, max(1, n_steps - warm_up), warmup_target=rate if warm_up else None,
        warmup_steps=warm_up)
