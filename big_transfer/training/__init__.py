"""Training: the step, what a run is made of, and the loop."""

from big_transfer.training.cross_validation import cross_validate
from big_transfer.training.loop import TrainingDiverged, Watch, train_and_evaluate, train_batches
from big_transfer.training.setup import (
    Run,
    build,
    fresh_state,
    layout,
    make_optimizer,
    make_schedule,
    steps_of,
)
from big_transfer.training.step import init_state, make_train_step, mixup

__all__ = [
    "Run",
    "TrainingDiverged",
    "Watch",
    "build",
    "cross_validate",
    "fresh_state",
    "init_state",
    "layout",
    "make_optimizer",
    "make_schedule",
    "make_train_step",
    "mixup",
    "steps_of",
    "train_and_evaluate",
    "train_batches",
]
