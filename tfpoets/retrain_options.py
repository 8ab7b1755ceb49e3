"""The options of a retraining."""
from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tfpoets.data import SplitOptions
from tfpoets.errors import OptionError, check_flag, check_type, check_range
from tfpoets.exporting import ExportOptions
from tfpoets.extractors import ExtractorOptions
from tfpoets.files import check_outside_image_dir, check_not_below_image_dir, convert_to_locations, convert_to_paths
from tfpoets.training import TrainingOptions, check_batch_size

TF_FILES = Path("tf_files")


@dataclass(frozen=True, kw_only=True)
class RetrainOptions:
    """A retraining.

    Attributes:
        image_dir: folder that holds one folder of photos per class, whose name is its label; or another place of
            photos that one of PHOTO_SOURCES knows.
        test_dir: a second folder with the same classes, whose photos make the final test; None: a share of
            `image_dir`.
        split: how photos are divided.
        extractor: which pretrained network is used.
        training: what is trained.
        files: what is written.
        cross_validate: number of folds in which every photo is also answered by a head that never saw it; None: none.
        doctor: whether to look for problems in the photos.
        bottleneck_dir: folder of the cache, and of checkpoints.
        summaries_dir: folder of the curves, one folder a run.
        intermediate_output_graphs_dir: folder of the graphs of a training by steps that is under way.
        test_batch_size: also report the accuracy of so many test photos, drawn evenly from the classes; -1: do not.
    """

    image_dir: Path | str
    test_dir: Path | str | None = None
    split: SplitOptions = SplitOptions()
    extractor: ExtractorOptions = ExtractorOptions()
    training: TrainingOptions = TrainingOptions()
    files: ExportOptions = ExportOptions()
    cross_validate: int | None = None
    doctor: bool = True
    bottleneck_dir: Path = TF_FILES / "bottlenecks"
    summaries_dir: Path = TF_FILES / "training_summaries"
    intermediate_output_graphs_dir: Path = TF_FILES / "intermediate_graphs"
    test_batch_size: int = -1

    def __post_init__(self) -> None:
        for name, kind in (("split", SplitOptions), ("extractor", ExtractorOptions), ("training", TrainingOptions),
                           ("files", ExportOptions)):
            check_type(name, getattr(self, name), kind)
        check_flag("doctor", self.doctor)
        convert_to_locations(self, "image_dir", "test_dir")
        convert_to_paths(self, "bottleneck_dir", "summaries_dir", "intermediate_output_graphs_dir")
        # One fold is held out, one chooses, the rest train.
        check_range("cross_validate", self.cross_validate, minimum=3, maximum=100, integer=True)
        check_batch_size("test_batch_size", self.test_batch_size)
        object.__setattr__(self, "training", self.training.with_seed(self.split.seed))
        self._check_places()
        self._check_training()

    def _check_places(self) -> None:
        """What is written among the photos would be a class of its own, or photos of one, the next time."""
        for photos in (self.image_dir, self.test_dir):
            if photos is None:
                continue
            for name in ("output_graph", "output_labels"):
                given = getattr(self.files, name)
                # Some formats are folders beside the graph.
                check = check_outside_image_dir if self.files.formats else check_not_below_image_dir
                check(given.parent, name, photos, given)
            for name, folder in (("saved_model_dir", self.files.saved_model_dir),
                                 ("bottleneck_dir", self.bottleneck_dir), ("model_dir", self.extractor.model_dir),
                                 ("summaries_dir", self.summaries_dir),
                                 ("intermediate_output_graphs_dir", self.intermediate_output_graphs_dir)):
                if name == "intermediate_output_graphs_dir" and not self._stores_graphs:
                    continue
                if folder is not None:
                    check_outside_image_dir(folder, name, photos, folder)

    @property
    def _stores_graphs(self) -> bool:
        """Whether graphs of a training that is under way are written."""
        return bool(self.training.sgd and self.training.sgd.intermediate_store_frequency)

    def _check_training(self) -> None:
        training, validates = self.training, bool(self.split.validation_percentage)
        if training.all_layers and not validates:
            raise OptionError("Training a network needs validation photos to tell its best epoch by.",
                              "Give a `validation_percentage` above 0.", "validation_percentage")
        if training.unknown_coverage and not validates:
            raise OptionError("`unknown_coverage` needs validation photos to find its threshold by.",
                              "Give a `validation_percentage` above 0.")
        if training.all_layers and self.cross_validate:
            raise OptionError("`cross_validate` is for the last layer alone: a network that was trained on the photos "
                              "knows all folds.", "Omit it.")

    def to_dict(self) -> dict[str, Any]:
        """Return the options as JSON takes them, paths as text, without those that change no result."""
        return _as_json({name: value for name, value in asdict(self).items() if value is not None})


# These change no result.
WITHOUT_EFFECT = ("offline", "resume")


def _as_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _as_json(each) for name, each in value.items()
                if each not in (None, (), "") and name not in WITHOUT_EFFECT}
    if isinstance(value, tuple):
        return [_as_json(each) for each in value]
    return str(value) if isinstance(value, Path) else value
