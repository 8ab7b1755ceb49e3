"""Write the files of a classifier, verify them, and publish them."""
from typing import TYPE_CHECKING

from tfpoets.lazy_names import lazy_names

if TYPE_CHECKING:
    from .classifier_files import ClassifierExport, ExportResult, export_classifier, export_graph, publish_graph
    from .conversion import convert, export, open_graph
    from .export_targets import (EXPORT_TARGETS, FROZEN_GRAPH, NUMBERED_SAVED_MODEL, TFLITE_CLASSIFIER,
                                 check_classifier_exists, check_formats, find_target, format_names, open_exported)
    from .decision_sections import UNSURE_LABEL, CostTable, UnsureOption
    from .exportable import Exportable, TrainedNetwork, sample_evenly
    from .keras_classifier import build_keras_classifier, check_keras_network
    from .metadata import RETRAIN_REMEDY, UNKNOWN_LABEL, Metadata, describe_classifier, evaluation_info, split_info
    from .metadata_sections import (CrossValidation, EvaluationInfo, HeadInfo, InputInfo, NetworkInfo, NodeNames,
                                    RejectOption, RepeatedScenes)
    from .options import DEFAULT_GRAPH, ExportOptions, check_destinations
    from .target import SERVING, TFLITE_IDENTIFIER, ExportTarget, LoadedFile
    from .targets.frozen_graph import check_output_name
    from .targets.saved_model import METADATA_PATH
    from .training_list import SplitInfo
    from .training_photos import training_photo_mask
    from .verification import ExportedFile, LoadedReference, ReferenceOutputs, verify
    from .wrapped_model import WrappedModel, check_labels, wrap

__getattr__, __dir__, __all__ = lazy_names(__name__, {
    ".classifier_files": "ClassifierExport ExportResult export_classifier export_graph publish_graph",
    ".conversion": "convert export open_graph",
    ".export_targets": "EXPORT_TARGETS FROZEN_GRAPH NUMBERED_SAVED_MODEL TFLITE_CLASSIFIER check_classifier_exists "
                       "check_formats find_target format_names open_exported",
    ".decision_sections": "UNSURE_LABEL CostTable UnsureOption",
    ".exportable": "Exportable TrainedNetwork sample_evenly",
    ".keras_classifier": "build_keras_classifier check_keras_network",
    ".metadata": "RETRAIN_REMEDY UNKNOWN_LABEL Metadata describe_classifier evaluation_info split_info",
    ".metadata_sections": "CrossValidation EvaluationInfo HeadInfo InputInfo NetworkInfo NodeNames RejectOption "
                          "RepeatedScenes",
    ".options": "DEFAULT_GRAPH ExportOptions check_destinations",
    ".target": "SERVING TFLITE_IDENTIFIER ExportTarget LoadedFile",
    ".targets.frozen_graph": "check_output_name",
    ".targets.saved_model": "METADATA_PATH",
    ".training_list": "SplitInfo",
    ".training_photos": "training_photo_mask",
    ".verification": "ExportedFile LoadedReference ReferenceOutputs verify",
    ".wrapped_model": "WrappedModel check_labels wrap",
})
