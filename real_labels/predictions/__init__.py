"""Predictions: reading what people have, ranking, mix-ups and numbering."""

from real_labels.predictions.predictions import TOP_K, Predictions

__all__ = ["TOP_K", "Predictions"]
