"""Errors of checkpoints."""

from real_labels.errors import ExpectedError


class CheckpointError(ExpectedError, ValueError):
    """A checkpoint cannot be read or has unexpected content; the message gives the reason."""


class CorruptCheckpointError(CheckpointError):
    """A checkpoint of a run is damaged; an older checkpoint of the run may be intact."""
