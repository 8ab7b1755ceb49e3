"""The options of a retraining run."""
from __future__ import annotations

import numbers
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tfpoets.data import DatasetOptions, SplitOptions
from tfpoets.errors import OptionError, check_bool, check_range, check_type
from tfpoets.exporting import ExportOptions
from tfpoets.extractors import ExtractorOptions, check_ray_address
from tfpoets.files import check_not_below_image_dir, check_outside_image_dir, convert_to_locations, convert_to_paths
from tfpoets.networks import check_network_options
from tfpoets.training import TrainingOptions, check_batch_size

TF_FILES = Path("tf_files")

# These do not affect the result, so they are not stored with it.
UNSTORED_OPTIONS = ("offline", "resume", "trust_model", "advice", "max_memory_gb", "ray_address", "flags")
# The percentages, and the class of the group of options that each one belongs to.
PERCENTAGES = {"testing_percentage": "split=SplitOptions", "validation_percentage": "split=SplitOptions",
               "random_crop": "augmentation=AugmentationOptions", "random_scale": "augmentation=AugmentationOptions",
               "random_brightness": "augmentation=AugmentationOptions"}


@dataclass(frozen=True, kw_only=True)
class RetrainOptions:
    """The options of a retraining run.

    Usage::

        RetrainOptions(image_dir="photos")                                 # default options
        RetrainOptions(image_dir="photos", split=SplitOptions(seed=3))     # options of one group
        with_options(RetrainOptions, {"image_dir": "photos", "seed": 3})   # the same, by option name

    Attributes:
        image_dir: The folder that contains one folder of photos per class, named after its label; or another location
            that one of PHOTO_SOURCES can read. With `manifest`, the folder of its photos; None: the folder of the
            manifest.
        test_dir: A second folder with the same classes, whose photos are the test photos; None: a fraction of the
            photos in `image_dir` is held out.
        dataset: Where the labels and groups of the photos are, if not in the names of folders.
        split: How the photos are split.
        extractor: Which pretrained network is used.
        training: What is trained, and how.
        files: Which files are written.
        accuracy_target: The accuracy that the answers must have, 0 to 1; photos whose answer is too uncertain for it
            are labelled unsure. None: every photo gets an answer.
        costs: A table (CSV) of what each confusion costs; the answer is then the label with the lowest expected cost.
            None: the answer is the most likely label.
        advice: Whether to measure thoroughly what would improve the classifier; see `tfpoets.advice`. This takes
            minutes the first time, and about a quarter of a minute once the features are cached.
        cross_validate: The number of folds for a cross-validation of the last layer; None: no cross-validation.
        doctor: Whether to look for problems in the photos, and for scenes of training photos in the test photos. Both
            need the bottlenecks of a pretrained network. None: yes, unless a network is trained from scratch, which
            does not need them otherwise.
        bottleneck_dir: The folder of the bottleneck cache and of checkpoints.
        max_memory_gb: Bottlenecks that take more memory than this (10^9 bytes) are read from a temporary file in
            `bottleneck_dir`; None: half of the memory that is free at the time.
        summaries_dir: The folder of the training curves, with one folder per run.
        intermediate_output_graphs_dir: The folder of the intermediate graphs of training by gradient descent.
        ray_address: The Ray cluster whose nodes compute the bottlenecks; see `ExecutionOptions`. "": this machine
            computes them.
        test_batch_size: Also report the accuracy on this many test photos, drawn evenly from the classes; -1: omit it.
        flags: The flags of the command line, by name, to store with the classifier, so that it can repeat the run;
            None in programs.
    """

    image_dir: Path | str | None = None
    test_dir: Path | str | None = None
    dataset: DatasetOptions = DatasetOptions()
    split: SplitOptions = SplitOptions()
    extractor: ExtractorOptions = ExtractorOptions()
    training: TrainingOptions = TrainingOptions()
    files: ExportOptions = ExportOptions()
    accuracy_target: float | None = None
    costs: Path | None = None
    advice: bool = False
    cross_validate: int | None = None
    doctor: bool | None = None
    bottleneck_dir: Path = TF_FILES / "bottlenecks"
    max_memory_gb: float | None = None
    summaries_dir: Path = TF_FILES / "training_summaries"
    intermediate_output_graphs_dir: Path = TF_FILES / "intermediate_graphs"
    test_batch_size: int = -1
    ray_address: str = ""
    flags: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        for name, expected in (("dataset", DatasetOptions), ("split", SplitOptions), ("extractor", ExtractorOptions),
                               ("training", TrainingOptions), ("files", ExportOptions)):
            check_type(name, getattr(self, name), expected)
        if self.doctor is not None:
            check_bool("doctor", self.doctor)
        if self.image_dir is None and not self.dataset.manifest:
            raise OptionError("`image_dir` is missing.", "Set it to the photo folder.")
        convert_to_locations(self, "image_dir", "test_dir")
        check_range("accuracy_target", self.accuracy_target, above=0, below=1)
        check_bool("advice", self.advice)
        convert_to_paths(self, "costs", "bottleneck_dir", "summaries_dir", "intermediate_output_graphs_dir")
        # At least three folds: one is held out, one is used for validation, and the others for training.
        check_range("cross_validate", self.cross_validate, minimum=3, maximum=100, integer=True)
        check_batch_size("test_batch_size", self.test_batch_size)
        check_range("max_memory_gb", self.max_memory_gb, above=0)
        check_ray_address("ray_address", self.ray_address)
        object.__setattr__(self, "training", self.training.with_seed(self.split.seed))
        self._check_output_locations()
        self._check_training()

    @property
    def runs_doctor(self) -> bool:
        """Whether the data doctor runs, also if `doctor` is None."""
        return self.training.network is None if self.doctor is None else self.doctor

    def _check_output_locations(self) -> None:
        """Check that no file is written among the photos, where the next run would treat it as a class or a photo."""
        # The photos of a manifest are only those that it lists, so other files next to them do no harm.
        for image_dir in (None if self.dataset.manifest else self.image_dir, self.test_dir):
            if image_dir is None:
                continue
            for name in ("output_graph", "output_labels"):
                path = getattr(self.files, name)
                # The graph may lie directly in `image_dir`, unless folders of further formats are written next to it.
                check = check_outside_image_dir if self.files.formats else check_not_below_image_dir
                check(path.parent, name, image_dir, path)
            for name, folder in self._output_folders():
                check_outside_image_dir(folder, name, image_dir, folder)

    def _output_folders(self) -> list[tuple[str, Path]]:
        """Return the folders that this run writes to, with the names of their options."""
        folders = [("bottleneck_dir", self.bottleneck_dir), ("model_dir", self.extractor.model_dir),
                   ("summaries_dir", self.summaries_dir)]
        if self.files.saved_model_dir is not None:
            folders.insert(0, ("saved_model_dir", self.files.saved_model_dir))
        if self.training.sgd and self.training.sgd.intermediate_store_frequency:
            folders.append(("intermediate_output_graphs_dir", self.intermediate_output_graphs_dir))
        return folders

    def _check_training(self) -> None:
        """Check the training options against those of the run."""
        training, has_validation_photos = self.training, bool(self.split.validation_percentage)
        if training.network:
            check_network_options(training.network)
        if training.all_layers and not has_validation_photos:
            raise OptionError("Training all layers needs validation photos, to choose the best epoch.",
                              "Set `validation_percentage` above 0.", "validation_percentage")
        if training.unknown_coverage and not has_validation_photos:
            raise OptionError("`unknown_coverage` needs validation photos, to choose its threshold.",
                              "Set `validation_percentage` above 0.")
        if self.accuracy_target and (training.all_layers or training.sgd) and not has_validation_photos:
            raise OptionError("`accuracy_target` needs validation photos for this kind of training, to choose its "
                              "threshold.", "Set `validation_percentage` above 0.")
        if training.all_layers and self.cross_validate:
            raise OptionError("`cross_validate` is only for training the last layer: a network trained on the photos "
                              "has seen the photos of every fold.", "Omit it.")

    def to_dict(self) -> dict[str, Any]:
        """Return the options for JSON, with paths as strings, without empty options and UNSTORED_OPTIONS."""
        values = {**asdict(self), "doctor": self.runs_doctor}
        stored: dict[str, Any] = _to_json({name: value for name, value in values.items() if value is not None})
        return stored


def check_percentages(values: Mapping[str, Any]) -> None:
    """Raise OptionError for a percentage between 0 and 1, which is usually a fraction, as in other libraries.

    Percentages in a group of options (`SplitOptions(testing_percentage=0.2)`) are not checked.

    Args:
        values: Options by name.
    """
    for name in PERCENTAGES.keys() & values.keys():
        value = values[name]
        if isinstance(value, numbers.Real) and 0 < float(value) < 1:
            number = float(value)
            raise OptionError(f"`{name}`={number:g} is {number:g} percent.",
                              f"For {100 * number:g} percent, write {name}={100 * number:g}; for {number:g} percent, "
                              f"write {PERCENTAGES[name]}({name}={number:g}).")


def _to_json(value: Any) -> Any:
    if isinstance(value, dict):
        values = {name: _to_json(item) for name, item in value.items() if name not in UNSTORED_OPTIONS}
        return {name: item for name, item in values.items() if item not in (None, [], "", {})}
    if isinstance(value, tuple):
        return [_to_json(item) for item in value]
    return str(value) if isinstance(value, Path) else value
