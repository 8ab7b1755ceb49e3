"""What a person asked of a command: one frozen object each, built and checked in this folder and nowhere else."""
from .distortions import USUAL_DISTORTIONS, Distortions
from .doctor import DoctorSettings, doctor_settings
from .evaluate import EvaluateSettings, evaluate_settings
from .extractor import ExtractorSettings
from .label_image import GraphSettings, LabelSettings, label_settings
from .network import NetworkSettings
from .places import DEFAULT_TFLITE
from .retrain import RetrainSettings, StepSettings, retrain_settings
from .show_image import ShowSettings, show_settings

__all__ = ["DEFAULT_TFLITE", "Distortions", "DoctorSettings", "EvaluateSettings", "ExtractorSettings", "GraphSettings",
           "LabelSettings", "NetworkSettings", "RetrainSettings", "ShowSettings", "StepSettings", "USUAL_DISTORTIONS",
           "doctor_settings", "evaluate_settings", "label_settings", "retrain_settings", "show_settings"]
