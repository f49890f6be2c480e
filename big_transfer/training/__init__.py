"""Training: the compiled step, building a run from its config, and the training loop."""

from big_transfer.training.cross_validation import cross_validate
from big_transfer.training.loop import (
    StepMonitor,
    TrainingDiverged,
    train_and_evaluate,
    train_batches,
)
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
    "StepMonitor",
    "TrainingDiverged",
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
