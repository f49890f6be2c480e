"""Labels: label sets, file names, classes and their names, ILSVRC-2012, the published ReaL labels."""

from real_labels.labels.class_names import ClassNames
from real_labels.labels.classes import check_classes
from real_labels.labels.file_names import check_file_names, find_rows, require_all, rows_of
from real_labels.labels.label_sets import LabelSets
from real_labels.labels.reference import Reference

__all__ = [
    "ClassNames",
    "LabelSets",
    "Reference",
    "check_classes",
    "check_file_names",
    "find_rows",
    "require_all",
    "rows_of",
]
