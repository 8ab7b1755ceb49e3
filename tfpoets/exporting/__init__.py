"""A classifier's files: written, proven, published."""
from .conversion import convert, export, open_graph
from .export_targets import (EXPORT_TARGETS, FROZEN_GRAPH, NUMBERED_SAVED_MODEL, TFLITE_CLASSIFIER, check_formats,
                             format_names, open_exported, find_target)
from .exportable import Exportable
from .metadata import RETRAIN_REMEDY, UNKNOWN_LABEL, Metadata, describe_classifier, evaluation_info, split_info
from .metadata_sections import (CrossValidation, HeadInfo, InputInfo, NetworkInfo, NodeNames, RejectOption, SplitInfo,
                                EvaluationInfo)
from .options import DEFAULT_GRAPH, ExportOptions, check_destinations
from .verification import ExportedFile, LoadedReference, ReferenceOutputs, verify
from .classifier_files import ExportResult, export_classifier, export_graph
from .target import SERVING, TFLITE_IDENTIFIER, ExportTarget, LoadedFile
from .targets.frozen_graph import check_output_name
from .targets.saved_model import METADATA_PATH
from .training_photos import training_photo_mask
from .wrap import wrap

__all__ = ["DEFAULT_GRAPH", "EXPORT_TARGETS", "FROZEN_GRAPH", "METADATA_PATH", "NUMBERED_SAVED_MODEL", "RUN_AGAIN",
           "SERVING", "TFLITE_CLASSIFIER", "TFLITE_IDENTIFIER", "UNKNOWN_LABEL", "CrossValidation", "ExportOptions",
           "ExportTarget", "Exportable", "Exported", "ExportedFile", "HeadInfo", "Input", "LoadedFile", "LoadedProof",
           "Metadata", "NetworkInfo", "Nodes", "Proof", "RejectOption", "SplitInfo", "TestFigures",
           "are_training_photos", "check_destinations", "check_formats", "check_output_name", "convert",
           "describe_classifier", "export", "export_classifier", "export_graph", "final_figures", "format_names",
           "open_exported", "open_graph", "prove", "split_info", "target_named", "wrap"]
