"""Predictions: reading files of predictions, ranking classes, finding mix-ups and renumberings."""

from real_labels.predictions.predictions import TOP_K, Predictions

__all__ = ["TOP_K", "Predictions"]
