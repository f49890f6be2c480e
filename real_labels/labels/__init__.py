"""Label sets, reassessments, file names, classes, ILSVRC-2012 and its published reassessments."""

from real_labels.labels.class_names import ClassNames
from real_labels.labels.classes import check_classes
from real_labels.labels.file_names import (
    check_distinct,
    check_file_names,
    find_rows,
    match,
    require_all,
    rows_of,
)
from real_labels.labels.label_sets import LabelSets
from real_labels.labels.reassessment import ORIGINAL, Reassessment, label_sets_of, titles_of
from real_labels.labels.reference import Reference

__all__ = [
    "ORIGINAL",
    "ClassNames",
    "LabelSets",
    "Reassessment",
    "Reference",
    "check_classes",
    "check_distinct",
    "check_file_names",
    "find_rows",
    "label_sets_of",
    "match",
    "require_all",
    "rows_of",
    "titles_of",
]
