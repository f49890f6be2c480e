"""Evaluation: one pass of the model over a dataset, comparison of checkpoints, result files."""

from big_transfer.evaluation.checkpoints import COMPARISON, evaluate_only
from big_transfer.evaluation.evaluator import Evaluation, Evaluator, make_eval_step
from big_transfer.evaluation.features import write_features
from big_transfer.evaluation.record import Comparison, Record

__all__ = [
    "COMPARISON",
    "Comparison",
    "Evaluation",
    "Evaluator",
    "Record",
    "evaluate_only",
    "make_eval_step",
    "write_features",
]
