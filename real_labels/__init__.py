"""Reassessed Labels (ReaL): label sets, predictions and the accuracy of one against the other.

NumPy only: nothing here imports JAX or TensorFlow.
"""

from real_labels.accuracy import Accuracy, results, top_k_accuracy, wilson_interval
from real_labels.labels import LabelSets
from real_labels.predictions import Predictions

__all__ = [
    "Accuracy",
    "LabelSets",
    "Predictions",
    "results",
    "top_k_accuracy",
    "wilson_interval",
]
