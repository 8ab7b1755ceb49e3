"""The HTML report, and pictures of photos, confusion matrices and training curves."""
from .answer_grid import Answer, answer_grid
from .comparison_picture import ComparisonPoint, comparison_picture
from .contents import EvaluatedPhotos, describe_evaluation, describe_retraining, with_examination
from .forecast_sentences import class_gain_sentence, cost_sentence, doubling_sentence, target_sentences
from .page import Misclassification, OcclusionMap, ReportContent, write_report
from .pictures import confusion_picture, curves_picture, sample_grid
from .sentences import scene_sentences, unknown_sentences

__all__ = ["Answer", "ComparisonPoint", "EvaluatedPhotos", "Misclassification", "OcclusionMap", "ReportContent",
           "answer_grid", "class_gain_sentence", "comparison_picture", "confusion_picture", "cost_sentence",
           "curves_picture", "describe_evaluation", "describe_retraining", "doubling_sentence", "sample_grid",
           "scene_sentences", "target_sentences", "unknown_sentences", "with_examination", "write_report"]
