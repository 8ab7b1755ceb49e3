"""The report room: figures and findings for people to read, in a terminal and on a page."""
from .contents import describe_evaluation, describe_retraining
from .lines import (accuracy_lines, class_lines, conversion_header, conversion_line, conversion_notes,
                    cross_validation_lines, finding_lines, photo_lines, unknown_lines)
from .page import Look, Mistake, ReportContent, write_report
from .pictures import confusion_picture, curves_picture, sample_grid

__all__ = ["Look", "Mistake", "ReportContent", "accuracy_lines", "class_lines", "confusion_picture",
           "conversion_header", "conversion_line", "conversion_notes", "cross_validation_lines", "curves_picture",
           "describe_evaluation", "describe_retraining", "finding_lines", "photo_lines", "sample_grid",
           "unknown_lines", "write_report"]
