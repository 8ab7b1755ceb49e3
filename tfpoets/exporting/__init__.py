"""Write the files of a classifier, verify them, and publish them."""
from .classifier_files import ClassifierExport, ExportResult, export_classifier, export_graph
from .conversion import convert, export, open_graph
from .export_targets import (EXPORT_TARGETS, FROZEN_GRAPH, NUMBERED_SAVED_MODEL, TFLITE_CLASSIFIER,
                             check_classifier_exists, check_formats, find_target, format_names, open_exported)
from .exportable import Exportable, sample_evenly
from .metadata import RETRAIN_REMEDY, UNKNOWN_LABEL, Metadata, describe_classifier, evaluation_info, split_info
from .metadata_sections import (CrossValidation, EvaluationInfo, HeadInfo, InputInfo, NetworkInfo, NodeNames,
                                RejectOption, SplitInfo)
from .options import DEFAULT_GRAPH, ExportOptions, check_destinations
from .target import SERVING, TFLITE_IDENTIFIER, ExportTarget, LoadedFile
from .targets.frozen_graph import check_output_name
from .targets.saved_model import METADATA_PATH
from .training_photos import training_photo_mask
from .verification import ExportedFile, LoadedReference, ReferenceOutputs, verify
from .wrap import wrap

__all__ = ["DEFAULT_GRAPH", "EXPORT_TARGETS", "FROZEN_GRAPH", "METADATA_PATH", "NUMBERED_SAVED_MODEL",
           "RETRAIN_REMEDY", "SERVING", "TFLITE_CLASSIFIER", "TFLITE_IDENTIFIER", "UNKNOWN_LABEL", "ClassifierExport",
           "CrossValidation", "EvaluationInfo", "ExportOptions", "ExportResult", "ExportTarget", "Exportable",
           "ExportedFile", "HeadInfo", "InputInfo", "LoadedFile", "LoadedReference", "Metadata", "NetworkInfo",
           "NodeNames", "ReferenceOutputs", "RejectOption", "SplitInfo", "check_classifier_exists",
           "check_destinations", "check_formats", "check_output_name", "convert", "describe_classifier",
           "evaluation_info", "export", "export_classifier", "export_graph", "find_target", "format_names",
           "open_exported", "open_graph", "sample_evenly", "split_info", "training_photo_mask", "verify", "wrap"]
