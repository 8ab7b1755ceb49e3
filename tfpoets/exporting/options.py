"""The files of a classifier: their names, and whether they can be written."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tfpoets.errors import OptionError
from tfpoets.files import check_output_file, check_output_folder, convert_to_paths

from .export_targets import check_format_names
from .targets.frozen_graph import check_output_name

DEFAULT_GRAPH = Path("tf_files/retrained_graph.pb")
DEFAULT_LABELS = Path("tf_files/retrained_labels.txt")


@dataclass(frozen=True)
class ExportOptions:
    """The files of a classifier.

    Attributes:
        output_graph: the .pb; the .tflite, the metadata and the report get the same stem.
        output_labels: the label file.
        saved_model_dir: folder for numbered SavedModels, or None for none.
        final_tensor_name: name of the graph's result.
        formats: further formats that the graph is converted to, beside it; names of `format_names`.
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
        """The TensorFlow Lite file."""
        return self.output_graph.with_suffix(".tflite")

    @property
    def report(self) -> Path:
        """The report, a page for people."""
        return self.output_graph.with_suffix(".html")

    @property
    def findings(self) -> Path:
        """The table of the doctor's findings."""
        return self.output_graph.with_name(f"{self.output_graph.stem}_findings.csv")

    @property
    def metadata(self) -> Path:
        """The metadata file."""
        return self.output_graph.with_suffix(".json")


def check_destinations(destinations: ExportOptions) -> None:
    """Make the folders; raise a TfpoetsError where files could not be written, before any work is done."""
    if destinations.output_graph.suffix in (".tflite", ".json", ".html"):
        raise OptionError(f"`output_graph`={destinations.output_graph} must not end in "
                          f"{destinations.output_graph.suffix}: that file is written beside it.", "Let it end in .pb.")
    check_output_file(destinations.output_graph, "output_graph")
    check_output_file(destinations.output_labels, "output_labels")
    beside = {destinations.output_graph: "the graph"}
    for path, what in ((destinations.tflite, "the .tflite"), (destinations.metadata, "the metadata"),
                       (destinations.report, "the report"), (destinations.findings, "the findings"),
                       (destinations.output_labels, "the labels")):
        if path.resolve() in map(Path.resolve, beside):
            raise OptionError(f"{path} was given for {what}, but other files of the graph would go there.",
                              "Give `output_graph` and `output_labels` other names.")
        beside[path] = what
    for path in beside:
        check_output_file(path, "output_graph")
    if destinations.saved_model_dir:
        check_output_folder(destinations.saved_model_dir)
