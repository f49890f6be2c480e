"""What can be wrong with a checkpoint."""

from real_labels.errors import ExpectedError


class CheckpointError(ExpectedError, ValueError):
    """A checkpoint that cannot be read, or is not what it should be; the message says how."""


class CorruptCheckpointError(CheckpointError):
    """A run's checkpoint that is damaged: another one may do instead."""
