"""Reassessed Labels (ReaL): answers, label sets, predictions, and the accuracy of predictions.

Numerics are NumPy's; the package imports neither JAX nor TensorFlow.
"""

from real_labels.accuracy import Accuracy, results, top_k_accuracy
from real_labels.answers import Answers, Gold, Questions, Scores
from real_labels.errors import InputError
from real_labels.intervals import wilson_interval
from real_labels.labels import LabelSets
from real_labels.predictions import Predictions

__all__ = [
    "Accuracy",
    "Answers",
    "Gold",
    "InputError",
    "LabelSets",
    "Predictions",
    "Questions",
    "Scores",
    "results",
    "top_k_accuracy",
    "wilson_interval",
]
