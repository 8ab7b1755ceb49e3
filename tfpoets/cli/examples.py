"""The examples at the end of the help text of each command."""
from __future__ import annotations

from .invocation import program_name

# For each command: what an example does, and its arguments.
EXAMPLES: dict[str, tuple[tuple[str, str], ...]] = {
    "retrain": (("one folder of photos per class: my_photos/daisy, my_photos/rose, ...", "my_photos"),
                ("also say \"unknown\" to photos that are unlike those in the folders",
                 "my_photos --unknown_coverage=95%"),
                ("measure what would improve the classifier", "my_photos --advice"),
                ("repeat a run with another split of the photos",
                 "--flags_from=tf_files/retrained_graph.json --seed=1")),
    "label_image": (("label one photo, or all photos of a folder", "photo.jpg holiday"),
                    ("one line per photo, for a spreadsheet", "holiday --format=csv --top_k=1"),
                    ("copy photos into one folder per label", "holiday --sort_into=sorted")),
    "compare": (("compare two input sizes", "my_photos --image_size=224,320"),
                ("compare two earlier runs", "tf_files/a.json tf_files/b.json")),
    "evaluate": (("measure the accuracy on other photos", "--image_dir=more_photos"),
                 ("fail if it is too low", "--image_dir=more_photos --min_accuracy=90%")),
    "export": (("a smaller file for phones, and one for browsers", "--to=tflite_int8,tfjs"),),
    "serve": (("open http://127.0.0.1:8501 to try the classifier", "--port=8501"),),
    "doctor": (("list suspicious photos", "my_photos"),),
    "show_image": (("draw a few photos of each class", "my_photos"),
                   ("draw photos with the answers of a classifier",
                    "my_photos --graph=tf_files/retrained_graph.tflite")),
    "bottlenecks": (("show what the cache contains", "--stats"),
                    ("check it", "--verify"),
                    ("write the features to a table", "--export=features.parquet")),
    "devices": (("show what a run would use", ""),),
    "sample_photos": (("write handwritten digits, which needs no network", "digits"),),
    "quantize_graph": (("round the weights to 256 values",
                        "--input=a.pb --output=b.pb --mode=weights_rounded"),),
    "count_ops": (("count the operations of a graph", "tf_files/retrained_graph.pb"),),
    "graph_pb2tb": (("write a graph for TensorBoard", "tf_files/logs tf_files/retrained_graph.pb"),)}


def format_examples(command: str) -> str:
    """Return the examples of a command, as command lines to copy."""
    lines = ["examples:"]
    for purpose, arguments in EXAMPLES.get(command, ()):
        lines += [f"  # {purpose}", f"  {program_name(command)} {arguments}".rstrip()]
    return "\n".join(lines) if len(lines) > 1 else ""
