"""The flags of the command `tfpoets retrain`."""
from __future__ import annotations

from dataclasses import replace

from tfpoets.data import SplitOptions
from tfpoets.exporting import ExportOptions, format_names
from tfpoets.networks import ARCHITECTURES, CONVNETS, RESNET
from tfpoets.training import (BATCH_NORMS, CHECKPOINTS, CLASS_WEIGHTS, COLOR_MODES, DEFAULT_AUGMENTED_VIEWS, MONITORS,
                              OPTIMIZERS, SCHEDULES, WEIGHTS, FineTuningOptions, NetworkOptions, SGDOptions,
                              solver_names)

from .flags_file import FLAGS_FROM
from .min_accuracy import MIN_ACCURACY
from .parser import Flag, Group, is_photo_folder, location, names, path
from .percentages import fraction, percentage
from .shared_flags import (AUGMENTATION_FLAGS, DATASET_FLAGS, EXTRACTOR_FLAGS, IMAGE_DIR_HELP, RAY_FLAG, STORAGE_FLAGS,
                           VIEWS_FLAG)

# The options with their defaults, for the help texts.
SPLIT, FILES, SGD = SplitOptions(), ExportOptions(), SGDOptions()
FINE_TUNING, SCRATCH = FineTuningOptions(), NetworkOptions(architecture=CONVNETS[0])

PHOTOS = Group("photos", (
    Flag("image_dir", f"{IMAGE_DIR_HELP}; the name of a subfolder is the label of its photos", "image_dir", location,
         "DIR", bare=is_photo_folder),
    Flag("test_dir", "second folder with the same classes, to use for the final test (default: hold out part of "
         "--image_dir)", "test_dir", location, "DIR"),
    Flag("testing_percentage", "percentage of the photos held out for the final test, such as 20 or 20%; less than 1 "
         f"percent needs the sign: 0.2% (default: {SPLIT.testing_percentage:g})", "split.testing_percentage",
         percentage, "P"),
    Flag("validation_percentage", "percentage of the photos used to choose the L2 strength or the best epoch "
         f"(default: {SPLIT.validation_percentage:g})", "split.validation_percentage", percentage, "P"),
    *DATASET_FLAGS,
    Flag("seed", f"random seed of the split and the training (default: {SPLIT.seed})", "split.seed", int, "N")))
HEAD = Group("training", (
    Flag("class_weight", "balanced: give all classes the same total weight, however many photos they have (default: "
         "none)", "training.head.class_weight", choices=CLASS_WEIGHTS),
    Flag("norefit", "do not train again with the validation photos after the L2 strength has been chosen",
         const=True),
    Flag("unknown_coverage", "label photos that are unlike the training photos as `unknown`; C is the fraction of "
         "validation photos that keep their label, such as 0.95 or 95% (default: off)", "training.unknown_coverage",
         fraction, "C"),
    Flag("solver", "lbfgs: compute the optimum of the last layer (default); sgd: train it by gradient descent, "
         "as TensorFlow for Poets does", choices=solver_names),
    Flag("augmented_views", "also train the last layer on K augmented views of each photo, mirrored and enlarged at "
         f"random unless augmentation flags are given (default: {DEFAULT_AUGMENTED_VIEWS} with such flags, "
         "none without)",
         "training.augmented_views", int, "K")))
NETWORK = Group("training of all layers", (
    Flag("fine_tune_epochs", f"fine-tune all layers of the extractor for N epochs ({FINE_TUNING.epochs} are often "
         "enough and take minutes; a larger N than before continues the training); keep the result if it is better on "
         "the validation photos", parse=int, metavar="N",
         aliases=("fine_tuning",)),
    Flag("train_epochs", "number of epochs for training from scratch; --architecture is one of "
         f"{', '.join(ARCHITECTURES)} (default: {SCRATCH.epochs})", parse=int, metavar="N", aliases=("epochs",)),
    Flag("batch_size", f"photos per step (default: {SCRATCH.batch_size})", "loop.batch_size", int, "N"),
    Flag("optimizer", f"optimizer (default: {SCRATCH.optimizer})", "loop.optimizer", choices=OPTIMIZERS),
    Flag("schedule", "how the learning rate decreases: constant until the last quarter of the epochs, then linearly "
         "to 0 (default); as a cosine from the beginning; or in a step to a tenth after half of the epochs and to a "
         "hundredth after three quarters. With cosine, a larger number of epochs starts the training again",
         "loop.schedule", choices=SCHEDULES),
    Flag("warmup", f"number of steps in which the learning rate increases from 0 (default: {SCRATCH.warm_up})",
         "loop.warm_up", int, "N"),
    Flag("dropout", "dropout rate of a network trained from scratch (default: that of the network)", parse=fraction,
         metavar="P"),
    Flag("patience", f"stop after N epochs without improvement (default: {SCRATCH.patience}, never stop early)",
         "loop.patience", int, "N"),
    Flag("monitor", f"validation metric that determines the best epoch (default: {SCRATCH.monitor})", "loop.monitor",
         choices=MONITORS),
    Flag("color_mode", "grayscale: train a network from scratch on brightness only (default: rgb)",
         choices=COLOR_MODES),
    Flag("weights", f"initial weights of {RESNET} (default: none, random initialization)", choices=WEIGHTS),
    Flag("batch_norm", "when fine-tuning, freeze the batch normalization statistics (default) or update them from the "
         "photos", choices=BATCH_NORMS),
    Flag("mixed_precision", "ignored, because training in 32 bits is not slower", const=True),
    Flag("resume", "continue an interrupted training run with the same flags, or a run with fewer epochs; fail if "
         "there is neither (default: start a new run in that case)", "loop.resume", const=True),
    Flag("checkpoint", "do not train further, but write the files from the best or last checkpoint of an interrupted "
         "training run with the same flags", "loop.checkpoint", choices=CHECKPOINTS)),
    "Train all layers of a network instead of only the last one.")
OUTPUT = Group("files", (
    Flag("output_graph", f"graph to write (default: {FILES.output_graph}); the .tflite and .json files are written "
         "next to it", "files.output_graph", path, "FILE"),
    Flag("output_labels", f"label file to write, one label per line (default: {FILES.output_labels})",
         "files.output_labels", path, "FILE"),
    Flag("saved_model_dir", "also write a SavedModel, to DIR/1, DIR/2, ...", "files.saved_model_dir", path, "DIR"),
    Flag("export", lambda: "also convert the graph to these formats, in the same folder: "
         f"{', '.join(format_names())}", "files.formats", names, "FORMAT[,FORMAT...]"),
    Flag("final_tensor_name", f"name of the output node of the graph (default: {FILES.final_tensor_name})",
         "files.final_tensor_name", metavar="NAME"),
    *STORAGE_FLAGS,
    Flag("max_memory_gb", "keep computed features in memory only up to G gigabytes, and otherwise read them from a "
         "temporary file in --bottleneck_dir (default: half of the free memory)", "max_memory_gb", float, "G"),
    RAY_FLAG,
    Flag("summaries_dir", "folder for training curves (PNG and TensorBoard logs), with a subfolder for each run "
         "(default: tf_files/training_summaries)", "summaries_dir", path, "DIR")))
EVALUATION = Group("evaluation", (
    Flag("cross_validate", "also measure the accuracy by K-fold cross-validation, which is more precise if there are "
         "few photos", "cross_validate", int, "K"),
    MIN_ACCURACY,
    Flag("accuracy_target", "label photos as `unsure` where the label is too uncertain, so that the other labels have "
         "this accuracy, such as 0.99 or 99% (default: off)", "accuracy_target", fraction, "A"),
    Flag("costs", "CSV file with the costs of confusions, in the columns true, predicted and cost (confusions that "
         "are not listed cost 1); the answer is then the label with the lowest expected cost", "costs", path, "FILE"),
    Flag("advice", "measure thoroughly what more photos would gain, and try a larger input size and four views on up "
         "to 2,000 of the photos, for better recommendations (takes minutes the first time)", "advice", const=True),
    Flag("doctor", "search the photos for wrong labels, duplicates and other problems, and for scenes that are in "
         "training and test photos (default, except for networks trained from scratch, which do not need the features "
         "of a pretrained network otherwise)", const=True),
    Flag("nodoctor", "do not search the photos for problems", const=True),
    Flag(FLAGS_FROM, "repeat an earlier run: use the flags in the .json file next to its graph, or in a file such as "
         '{"image_dir": "photos", "seed": 3}; flags on the command line override them, and paths are relative to the '
         "current folder", parse=path, metavar="FILE"),
    Flag("print_misclassified_test_images", "list the misclassified test photos", const=True),
    Flag("format", "text (default), or json to print the result as one object and everything else to standard error",
         choices=("text", "json"))))
SGD_FLAGS = Group("TensorFlow for Poets", (
    Flag("how_many_training_steps", f"number of training steps (default: {SGD.how_many_training_steps})",
         "sgd.how_many_training_steps", int, "N"),
    Flag("learning_rate", f"learning rate (default: {SGD.learning_rate}; {SCRATCH.learning_rate:g} "
         "from scratch; for fine-tuning, it depends on the size of the network)", parse=float, metavar="X"),
    Flag("train_batch_size", "photos per step, each from a randomly chosen class (default: "
         f"{SGD.train_batch_size})", "sgd.train_batch_size", int, "N"),
    Flag("validation_batch_size", "validation photos sampled for each printed line (default: "
         f"{SGD.validation_batch_size}; -1: all)", "sgd.validation_batch_size", int, "N"),
    Flag("test_batch_size", "also report the accuracy on N test photos, sampled evenly from the classes (default: -1, "
         "off)", "test_batch_size", int, "N"),
    Flag("eval_step_interval", f"number of steps between printed lines (default: {SGD.eval_step_interval})",
         "sgd.eval_step_interval", int, "N"),
    Flag("intermediate_store_frequency", "write the graph every N steps (default: 0, never)",
         "sgd.intermediate_store_frequency", int, "N"),
    Flag("intermediate_output_graphs_dir", "folder for intermediate graphs (default: tf_files/intermediate_graphs)",
         "intermediate_output_graphs_dir", path, "DIR"),
    Flag("architecture", "name of a pretrained network in TensorFlow for Poets, such as inception_v3 or "
         "mobilenet_0.50_224; or of a network to train from scratch (see --train_epochs); or FILE.py:FUNCTION, which "
         "runs a Python file and trains the Keras model that its function(height, width, n_classes) returns; or "
         "FILE.keras, a Keras model to train further", metavar="NAME"),
    Flag("checkpoint_path", "ignored, because cached bottlenecks make it unnecessary", metavar="FILE"),
    *AUGMENTATION_FLAGS),
    "Each of the first three flags selects --solver=sgd.")
MOST_USED = ("image_dir", "test_dir", "manifest", "output_graph", "export", "tfhub_module", "image_size",
             "fine_tune_epochs", "unknown_coverage", "advice")


def _with_most_used_first(groups: tuple[Group, ...]) -> tuple[Group, ...]:
    """Return the groups after a group of the flags that people use first."""
    flags = {flag.name: flag for group in groups for flag in group.flags}
    first = Group("flags to begin with", tuple(flags[name] for name in MOST_USED))
    return first, *(replace(group, flags=tuple(flag for flag in group.flags if flag.name not in MOST_USED))
                    for group in groups)


FLAGS = _with_most_used_first((PHOTOS, Group("extractor", (*EXTRACTOR_FLAGS, VIEWS_FLAG)), HEAD, NETWORK, OUTPUT,
                               EVALUATION, SGD_FLAGS))
