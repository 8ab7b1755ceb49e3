"""The options for the files of a classifier."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tfpoets.errors import OptionError
from tfpoets.files import check_output_file, check_output_folder, convert_to_paths
from tfpoets.publication import clean_up

from .export_targets import check_format_names, find_target, format_names
from .targets.frozen_graph import check_output_name
from .training_list import TRAINING_LIST_SUFFIX

DEFAULT_GRAPH = Path("tf_files/retrained_graph.pb")
DEFAULT_LABELS = Path("tf_files/retrained_labels.txt")


@dataclass(frozen=True)
class ExportOptions:
    """Options for the files of a classifier.

    Attributes:
        output_graph: The path of the .pb. The .tflite, the metadata and the report get the same stem.
        output_labels: The path of the label file.
        saved_model_dir: The folder for numbered SavedModels; None: no SavedModel is written.
        final_tensor_name: The name of the graph's output node.
        formats: The names of additional formats to convert the graph to, in the same folder; see `format_names`.
    """

    output_graph: Path = DEFAULT_GRAPH
    output_labels: Path = DEFAULT_LABELS
    saved_model_dir: Path | None = None
    final_tensor_name: str = "final_result"
    formats: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        convert_to_paths(self, "output_graph", "output_labels", "saved_model_dir")
        check_output_name(self.final_tensor_name)
        check_format_names(self.formats)

    @property
    def tflite(self) -> Path:
        """The path of the TensorFlow Lite file."""
        return self.output_graph.with_suffix(".tflite")

    @property
    def report(self) -> Path:
        """The path of the HTML report."""
        return self.output_graph.with_suffix(".html")

    @property
    def findings(self) -> Path:
        """The path of the table with the doctor's findings."""
        return self.output_graph.with_name(f"{self.output_graph.stem}_findings.csv")

    @property
    def training_list(self) -> Path:
        """The path of the list of the training photos, which is written if there are many."""
        return self.output_graph.with_name(f"{self.output_graph.stem}{TRAINING_LIST_SUFFIX}")

    @property
    def metadata(self) -> Path:
        """The path of the metadata file."""
        return self.output_graph.with_suffix(".json")


def check_destinations(destinations: ExportOptions) -> None:
    """Create the folders of the files, and check before any work is done that all files can be written.

    The publication of a killed run is finished first.

    Raises:
        OptionError: Two files have the same path, or a path is a folder.
        TfpoetsError: A folder cannot be created, or is not writable.
    """
    suffix = destinations.output_graph.suffix
    if suffix in (".tflite", ".json", ".html"):
        raise OptionError(f"`output_graph`={destinations.output_graph} must not end in {suffix}, because another "
                          "file is written under that name.", "Use the suffix .pb.")
    stem, name = destinations.output_graph.stem, destinations.output_graph.name
    for other_format in format_names():
        if find_target(other_format).file_name(stem) == name:
            raise OptionError(f"`output_graph`={destinations.output_graph} must not end in {suffix}, because it is "
                              "the path of the frozen graph.", "Use the suffix .pb, and write the other file with "
                              f"`formats`={other_format}.", "output_graph")
    check_output_file(destinations.output_graph, "output_graph")
    check_output_file(destinations.output_labels, "output_labels")
    contents: dict[Path, str] = {}
    for path, content in ((destinations.output_graph, "the graph"), (destinations.tflite, "the .tflite"),
                          (destinations.metadata, "the metadata"), (destinations.report, "the report"),
                          (destinations.training_list, "the list of the training photos"),
                          (destinations.findings, "the findings"), (destinations.output_labels, "the labels")):
        previous = contents.setdefault(path.resolve(), content)
        if previous != content:
            raise OptionError(f"{path} is the path of both {previous} and {content}.",
                              "Use different names for `output_graph` and `output_labels`.")
        check_output_file(path, "output_graph")
    if destinations.saved_model_dir:
        check_output_folder(destinations.saved_model_dir)
    clean_up(destinations.output_graph.parent, destinations.output_graph.stem)
