"""Measure how fast all layers of a network are trained, and what makes it faster.

    python -m tests.benchmarks.training_speed [--image_size=224] [--runs=5] [--steps=20] [--profile] [VARIANT ...]

Each VARIANT is a name, or settings separated by commas, such as `jit=step,batch_size=64`:

    library                         TrainingRun, as retrain uses it
    keras                           Keras's `fit` of the same network, with the same batches and optimizer
    step                            one training step as the library computes it, but with whole batches and without
                                    XLA, to compare with the other variants
    batch_size=N                    photos per step
    jit=optimizer, jit=step         compile the update of the weights, or the step except the augmentation, with XLA
    mixed=grappler                  grappler's mixed precision
    mixed=mixed_float16, mixed=mixed_bfloat16
                                    Keras's mixed precision
    tf32=0                          without TensorFloat-32
    layout=0                        without grappler's layout optimizer
    steps_per_call=N                N steps in one call of a tf.function
    device_pixels=1                 all photos are on the device, and steps select rows of them
    depthwise=grouped, depthwise=shifted
                                    depthwise convolutions as a grouped convolution, or as sums of shifted products
    augment=0                       without augmentation
    part_pixels=N                   pixels in each part of a batch on a CPU (0: whole batches)

The photos are random pixels. After the first step, which is timed by itself, all variants run alternately, `runs`
times `steps` steps each. With --profile, the GPU kernels that take the most time are listed for each variant.
"""
from __future__ import annotations

import argparse
import contextlib
import glob
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from tests.benchmarks.timing import Measurements
from tfpoets.data import AugmentationOptions, augment_tensor
from tfpoets.extractors import ExtractorOptions, load_network
from tfpoets.tf_runtime import import_tensorflow
from tfpoets.training import FineTuningOptions, LinearHead, PixelData, TrainableModel, training_run

N_PHOTOS, N_CLASSES = 1024, 5


@dataclass(frozen=True)
class Variant:
    """One way to compute training steps; the docstring of the module explains the settings."""

    kind: str = "step"
    batch_size: int = 32
    jit: str = ""
    mixed: str = ""
    tf32: bool = True
    layout: bool = True
    steps_per_call: int = 1
    device_pixels: bool = False
    depthwise: str = ""
    augment: bool = True
    part_pixels: int = training_run.PART_PIXELS

    @classmethod
    def parse(cls, text: str) -> Variant:
        """Return the variant with these settings."""
        variant = cls()
        for part in text.split(","):
            name, _, value = part.partition("=")
            if not value:
                variant = replace(variant, kind=name)
            else:
                kind = type(getattr(variant, name))
                variant = replace(variant, **{name: kind(int(value)) if kind in (bool, int) else value})
        return variant

    def options(self) -> FineTuningOptions:
        """Return the options of fine-tuning."""
        augmentation = FineTuningOptions().augmentation if self.augment else AugmentationOptions()
        return FineTuningOptions(batch_size=self.batch_size, epochs=1000, learning_rate=1e-5,
                                 augmentation=augmentation)


@contextlib.contextmanager
def settings(variant: Variant) -> Iterator[None]:
    """Change TensorFlow's global settings to those of the variant."""
    tensorflow = import_tensorflow()
    tensorflow.config.experimental.enable_tensor_float_32_execution(variant.tf32)
    tensorflow.config.optimizer.set_experimental_options({
        "auto_mixed_precision": variant.mixed == "grappler", "layout_optimizer": variant.layout})
    replacements = {"grouped": grouped_depthwise, "shifted": shifted_depthwise}
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(training_run, "PART_PIXELS", variant.part_pixels or 2 ** 40))
        if variant.depthwise:
            stack.enter_context(mock.patch.object(tensorflow.nn, "depthwise_conv2d",
                                                  replacements[variant.depthwise]))
        yield


def grouped_depthwise(pixels: Any, kernel: Any, strides: Any, padding: str, **_: Any) -> Any:
    """Return a depthwise convolution, computed as a convolution with one group per channel."""
    tensorflow = import_tensorflow()
    return tensorflow.nn.conv2d(pixels, tensorflow.transpose(kernel, [0, 1, 3, 2]), strides, padding)


def shifted_depthwise(pixels: Any, kernel: Any, strides: Any, padding: str, **_: Any) -> Any:
    """Return a depthwise convolution, computed as a sum of shifted products."""
    tensorflow = import_tensorflow()
    stride, side = strides[1], kernel.shape[0]
    size = pixels.shape[1]
    n_outputs = -(-size // stride) if padding.upper() == "SAME" else (size - side) // stride + 1
    margin = max(0, (n_outputs - 1) * stride + side - size) if padding.upper() == "SAME" else 0
    pads = [[0, 0], [margin // 2, margin - margin // 2], [margin // 2, margin - margin // 2], [0, 0]]
    padded = tensorflow.pad(pixels, pads)
    last = (n_outputs - 1) * stride + 1
    return tensorflow.add_n([
        padded[:, row:row + last:stride, column:column + last:stride] * kernel[row, column, :, 0]
        for row in range(side) for column in range(side)])


class Trainer:
    """Steps of one variant.

    Args:
        variant: The variant.
        data: The photos.
        handle: The network.
    """

    def __init__(self, variant: Variant, data: PixelData, handle: str):
        self.variant, self.data = variant, data
        self._rng = np.random.default_rng(0)
        start = time.perf_counter()
        with settings(variant):
            self._network = self._load(handle)
            self.loaded = time.perf_counter() - start
            self.run = self._builders()[variant.kind]()
            start = time.perf_counter()
            self.run(variant.steps_per_call)
            self.first_step = time.perf_counter() - start

    def _load(self, handle: str) -> Any:
        import_tensorflow()
        import keras
        policy = self.variant.mixed if self.variant.mixed.startswith("mixed_") else "float32"
        keras.config.set_dtype_policy(policy)
        try:
            return load_network(ExtractorOptions(handle=handle, image_size=self.data.pixels.shape[1]))
        finally:
            keras.config.set_dtype_policy("float32")

    def _builders(self) -> dict[str, Callable[[], Callable[[int], None]]]:
        return {"library": self._build_library, "step": self._build_step, "keras": self._build_keras}

    def time(self, steps: int) -> float:
        """Return the rate of `steps` steps, in photos per second."""
        with settings(self.variant):
            start = time.perf_counter()
            self.run(steps)
            return steps * self.variant.batch_size / (time.perf_counter() - start)

    def _model(self) -> TrainableModel:
        network = self._network

        def forward(pixels: Any, training: bool) -> Any:
            return import_tensorflow().cast(network(pixels), "float32")
        depth = int(network(np.zeros((1, *self.data.pixels.shape[1:]), np.float32)).shape[1])
        head = LinearHead(np.zeros((depth, N_CLASSES), np.float32), np.zeros(N_CLASSES, np.float32), 1.0)
        return TrainableModel(forward, N_CLASSES, head, "fine_tuned", has_batch_effects=not self.variant.part_pixels)

    def _training_run(self) -> training_run.TrainingRun:
        self._folder = tempfile.TemporaryDirectory()
        return training_run.TrainingRun(self._model(), self.data, self.variant.options(), Path(self._folder.name))

    def _build_library(self) -> Callable[[int], None]:
        library_run = self._training_run()

        def run(steps: int) -> None:
            rows = self._draw(steps)
            for pixels, y in library_run._load_batches(list(rows)):
                library_run._run_train_step(pixels, y)
            library_run._sums.numpy()
        return run

    def _draw(self, steps: int) -> np.ndarray:
        return np.sort(self._rng.integers(0, len(self.data), (steps, self.variant.batch_size)), axis=1)

    def _build_step(self) -> Callable[[int], None]:
        """Return a function that runs steps with the settings of the variant."""
        tensorflow, variant, library_run = import_tensorflow(), self.variant, self._training_run()
        inner = build_inner_step(library_run, variant)
        options = variant.options()
        photos = tensorflow.constant(self.data.pixels) if variant.device_pixels else None
        targets = tensorflow.constant(self.data.y)

        def step(pixels: Any, y: Any) -> None:
            scaled = tensorflow.cast(pixels, tensorflow.float32) / 255
            inner(augment_tensor(scaled, options.augmentation, 0, library_run._step), y)
            library_run._step.assign_add(1)

        @tensorflow.function
        def on_rows(rows: Any) -> None:
            for number in tensorflow.range(tensorflow.shape(rows)[0]):
                step(tensorflow.gather(photos, rows[number]), tensorflow.gather(targets, rows[number]))

        @tensorflow.function
        def on_batches(iterator: Any, count: Any) -> None:
            for _ in tensorflow.range(count):
                step(*next(iterator))
        on_batch = tensorflow.function(step)

        def run(steps: int) -> None:
            rows = self._draw(steps)
            if variant.device_pixels:
                for start in range(0, steps, variant.steps_per_call):
                    on_rows(tensorflow.constant(rows[start:start + variant.steps_per_call]))
            elif variant.steps_per_call > 1:
                iterator = iter(library_run._load_batches(list(rows)))
                for start in range(0, steps, variant.steps_per_call):
                    on_batches(iterator, tensorflow.constant(min(variant.steps_per_call, steps - start)))
            else:
                for pixels, y in library_run._load_batches(list(rows)):
                    on_batch(pixels, y)
            library_run._sums.numpy()
        return run

    def _build_keras(self) -> Callable[[int], None]:
        """Return a function that trains with Keras's `fit`, with batch normalization as in the library."""
        tensorflow = import_tensorflow()
        import keras
        size, options = self.data.pixels.shape[1], self.variant.options()
        inputs = keras.Input((size, size, 3), dtype="uint8")
        features = self._network.function(keras.layers.Rescaling(1 / 255)(inputs), training=False)
        logits = keras.layers.Dense(N_CLASSES, dtype="float32")(features)
        model = keras.Model(inputs, logits)
        model.compile(keras.optimizers.AdamW(options.learning_rate, weight_decay=options.weight_decay),
                      keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1),
                      metrics=["accuracy"])
        one_hot = np.eye(N_CLASSES, dtype=np.float32)[self.data.y]

        def run(steps: int) -> None:
            rows = self._draw(steps).ravel()
            batches = tensorflow.data.Dataset.from_tensor_slices((self.data.pixels[rows], one_hot[rows]))
            model.fit(batches.batch(self.variant.batch_size, drop_remainder=True).prefetch(2), verbose=0)
        return run


def build_inner_step(library_run: training_run.TrainingRun, variant: Variant) -> Callable[[Any, Any], None]:
    """Return the part of a training step after the augmentation, compiled as the variant requires."""
    tensorflow, optimizer, trainable = import_tensorflow(), library_run._optimizer, library_run._trainable
    kernel, bias = library_run._kernel, library_run._bias

    def update(gradients: list[Any]) -> None:
        optimizer.apply_gradients(list(zip(gradients, trainable)))
    if variant.jit == "optimizer":
        update = tensorflow.function(update, jit_compile=True)

    def inner(photos: Any, y: Any) -> None:
        smoothed = tensorflow.one_hot(y, N_CLASSES) * 0.9 + 0.1 / N_CLASSES
        with tensorflow.GradientTape() as tape:
            logits = tensorflow.matmul(library_run.model.network(photos, True), kernel) + bias
            losses = tensorflow.nn.softmax_cross_entropy_with_logits(smoothed, logits)
            loss = optimizer.scale_loss(tensorflow.reduce_mean(losses))
        update(tape.gradient(loss, trainable))
        is_correct = tensorflow.cast(tensorflow.argmax(logits, axis=1) == y, tensorflow.float32)
        library_run._sums.assign_add([tensorflow.reduce_sum(losses), tensorflow.reduce_sum(is_correct)])
    return tensorflow.function(inner, jit_compile=True) if variant.jit == "step" else inner


def profile(trainer: Trainer, steps: int = 10) -> list[tuple[str, float]]:
    """Return the GPU kernels of some steps and their time in milliseconds per step, longest first."""
    tensorflow = import_tensorflow()
    from tensorflow.tsl.profiler.protobuf import xplane_pb2
    with tempfile.TemporaryDirectory() as folder:
        tensorflow.profiler.experimental.start(folder)
        trainer.time(steps)
        tensorflow.profiler.experimental.stop()
        space = xplane_pb2.XSpace()
        path, = glob.glob(f"{folder}/**/*.xplane.pb", recursive=True)
        space.ParseFromString(Path(path).read_bytes())
    milliseconds: Counter[str] = Counter()
    for plane in space.planes:
        if not plane.name.startswith("/device:GPU"):
            continue
        for line in plane.lines:
            if line.name.startswith("Stream"):
                for event in line.events:
                    milliseconds[plane.event_metadata[event.metadata_id].name] += event.duration_ps / 1e9 / steps
    return [("all kernels", sum(milliseconds.values())), *milliseconds.most_common(15)]


def start(text: str, data: PixelData, flags: argparse.Namespace) -> Trainer | None:
    """Return a trainer after its first step, or None if the variant does not work on this machine."""
    try:
        trainer = Trainer(Variant.parse(text), data, flags.tfhub_module)
    except Exception as error:
        print(f"{text}: {type(error).__name__}: {' '.join(str(error).split())[:600]}", flush=True)
        return None
    trainer.time(flags.steps)
    print(f"{text}: first step after {trainer.loaded:.1f} + {trainer.first_step:.1f} s, "
          f"{trainer.time(flags.steps):.0f} photos/s", flush=True)
    for name, milliseconds in profile(trainer) if flags.profile else ():
        print(f"    {milliseconds:8.3f} ms per step  {name[:100]}", flush=True)
    return trainer


def main() -> None:
    """Print one row of a Markdown table per variant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variants", nargs="*", default=["library", "keras"])
    parser.add_argument("--tfhub_module", default="efficientnet_lite0")
    parser.add_argument("--image_size", type=int, default=224)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--profile", action="store_true")
    flags = parser.parse_args()
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (N_PHOTOS, flags.image_size, flags.image_size, 3), np.uint8)
    data = PixelData(pixels, rng.integers(0, N_CLASSES, N_PHOTOS))
    print([device.name for device in import_tensorflow().config.list_physical_devices()], flush=True)
    started = [(text, trainer) for text in flags.variants if (trainer := start(text, data, flags))]
    rates: list[list[float]] = [[] for _ in started]
    for _ in range(flags.runs):
        for values, (_, trainer) in zip(rates, started):
            values.append(trainer.time(flags.steps))
    print("| variant | photos/s | relative to the first | loading + first step, s |\n|---|---|---|---|")
    for (text, trainer), values in zip(started, rates):
        ratio = Measurements(tuple(values)).ratio_to(Measurements(tuple(rates[0])))
        print(f"| {text} | {Measurements(tuple(values)).text(0)} | {ratio.text()} "
              f"| {trainer.loaded:.1f} + {trainer.first_step:.1f} |")


if __name__ == "__main__":
    main()
