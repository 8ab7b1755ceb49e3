"""The report room: figures for people to read."""
from .lines import accuracy_lines, class_lines, cross_validation_lines, finding_lines, photo_lines

__all__ = ["accuracy_lines", "class_lines", "cross_validation_lines", "finding_lines", "photo_lines"]
