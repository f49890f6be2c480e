"""Checkpoints: the public BiT `.npz` files, timm's `.safetensors`, and a run's Orbax checkpoints.

Commands:

    python -m big_transfer.checkpoint inspect FILE
    python -m big_transfer.checkpoint convert FROM TO
"""

from big_transfer.checkpoint.errors import CheckpointError, CorruptCheckpointError
from big_transfer.checkpoint.formats import load, load_run, load_with_step, read_model, save_run
from big_transfer.checkpoint.public import load_npz, save_npz
from big_transfer.checkpoint.run import Checkpoints, fingerprint
from big_transfer.checkpoint.timm import save_safetensors

__all__ = [
    "CheckpointError",
    "Checkpoints",
    "CorruptCheckpointError",
    "fingerprint",
    "load",
    "load_npz",
    "load_run",
    "load_with_step",
    "read_model",
    "save_npz",
    "save_run",
    "save_safetensors",
]
