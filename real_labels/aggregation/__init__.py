"""Turns answers into scores: majority, Dawid & Skene, gold-calibrated."""

from real_labels.aggregation.aggregate import Aggregate, PseudoRater, Start
from real_labels.aggregation.doubt import doubts
from real_labels.aggregation.methods import dawid_skene, gold_calibrated, majority

__all__ = [
    "Aggregate",
    "PseudoRater",
    "Start",
    "dawid_skene",
    "doubts",
    "gold_calibrated",
    "majority",
]
