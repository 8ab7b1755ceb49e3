"""The report room: figures and findings for people to read, in a terminal and on a page."""
from .lines import accuracy_lines, class_lines, cross_validation_lines, finding_lines, photo_lines
from .page import Mistake, ReportContent, write_report
from .retrained import describe_retraining

__all__ = ["Mistake", "ReportContent", "accuracy_lines", "class_lines", "cross_validation_lines",
           "describe_retraining", "finding_lines", "photo_lines", "write_report"]
