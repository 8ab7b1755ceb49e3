"""What a person asked of a command: one frozen object each, built and checked in this folder and nowhere else."""
from .distortions import USUAL_DISTORTIONS, Distortions
from .doctor import DoctorSettings, doctor_settings
from .evaluate import EvaluateSettings, evaluate_settings
from .export import EXPORT_FORMATS, ExportSettings, export_settings
from .extractor import ExtractorSettings
from .graph_tools import (BoardSettings, CountSettings, QuantizeSettings, board_settings, count_settings,
                          quantize_settings)
from .label_image import GraphSettings, LabelSettings, label_settings
from .network import SCRATCH_NETWORKS, NetworkSettings
from .places import DEFAULT_TFLITE
from .retrain import RetrainSettings, StepSettings, retrain_settings
from .serve import ServeSettings, serve_settings
from .show_image import ShowSettings, show_settings

__all__ = ["BoardSettings", "CountSettings", "DEFAULT_TFLITE", "Distortions", "DoctorSettings", "EXPORT_FORMATS",
           "EvaluateSettings", "ExportSettings", "ExtractorSettings", "GraphSettings", "LabelSettings",
           "NetworkSettings", "QuantizeSettings", "RetrainSettings", "SCRATCH_NETWORKS", "ServeSettings",
           "ShowSettings", "StepSettings", "USUAL_DISTORTIONS", "board_settings", "count_settings", "doctor_settings",
           "evaluate_settings", "export_settings", "label_settings", "quantize_settings", "retrain_settings",
           "serve_settings", "show_settings"]
