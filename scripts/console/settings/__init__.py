"""What a person asked of a command: one frozen object each, built and checked in this folder and nowhere else."""
from .label_image import GraphSettings, LabelSettings, label_settings
from .places import DEFAULT_TFLITE, TF_FILES
from .retrain import RetrainSettings, StepSettings, retrain_settings

__all__ = ["DEFAULT_TFLITE", "GraphSettings", "LabelSettings", "RetrainSettings", "StepSettings", "TF_FILES",
           "label_settings", "retrain_settings"]
