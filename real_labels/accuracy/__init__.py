"""Accuracy against label sets: top-k, paired differences, several models, files of predictions."""

from real_labels.accuracy.comparison import Pair
from real_labels.accuracy.paired import Difference, difference_of_hits, paired_difference
from real_labels.accuracy.top_k import (
    Accuracy,
    OnReassessment,
    Results,
    TopK,
    can_measure,
    results,
    top_k_accuracy,
    top_k_hits,
)

__all__ = [
    "Accuracy",
    "Difference",
    "OnReassessment",
    "Pair",
    "Results",
    "TopK",
    "can_measure",
    "difference_of_hits",
    "paired_difference",
    "results",
    "top_k_accuracy",
    "top_k_hits",
]
