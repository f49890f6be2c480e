"""Needs of programs that were compiled before, in the user's cache, because compiling takes minutes."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import logging
import pathlib
from collections.abc import Callable

import platformdirs

from big_transfer.compilation.measuring import Needs
from big_transfer.config import EvaluationConfig
from real_labels import files
from real_labels.errors import InputError
from real_labels.files import json_text

log = logging.getLogger("big_transfer")

# The code that makes the programs, below the package.
_SOURCES = (
    "resnet.py", "layers.py", "losses.py", "training/step.py", "training/optimizer.py",
    "training/setup.py", "evaluation/evaluator.py", "run/sharding.py", "compilation/programs.py",
    "compilation/measuring.py", "compilation/collectives.py",
)  # fmt: skip
# Fields that change no program: files, names, intervals and lengths.
_WITHOUT_EFFECT = {
    "seed", "total_steps", "total_epochs", "checkpoint", "export_npz", "folds", "fold", "reset_head",
    "log_every_steps", "eval_every_steps", "checkpoint_every_steps", "checkpoint_keep", "checkpoint_best",
    "example_images", "hyperrule", "profile",
}  # fmt: skip


def kept(
    kind: str, config: EvaluationConfig, topology: str, compile_: Callable[[], Needs]
) -> Needs:
    """Returns the kept needs of a program, or compiles it and keeps them.

    Args:
      kind: "train" or "evaluate".
      config: the config of the program.
      topology: name of the slice.
      compile_: compiles the program.
    """
    path = folder() / f"{_key(kind, config, topology)}.json"
    if path.exists():
        try:
            return Needs.from_json(json_text.read(path))
        except (InputError, TypeError, LookupError, AttributeError):
            path.unlink()  # damaged
    needs = compile_()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_json(path, needs.as_json())
    except OSError as error:
        log.warning("The result is not kept in %s (%s).", path.parent, error)
    return needs


def folder() -> pathlib.Path:
    """The folder of the kept needs."""
    return pathlib.Path(platformdirs.user_cache_dir("big_transfer")) / "compiled"


def _key(kind: str, config: EvaluationConfig, topology: str) -> str:
    fields = dataclasses.asdict(config)
    section = "input" if kind == "train" else "eval"
    identity = {
        "kind": kind,
        "topology": topology,
        "fields": {k: v for k, v in fields.items() if k not in _WITHOUT_EFFECT | {"input", "eval"}},
        "data": {
            name: fields[section].get(name) for name in ("batch_size", "size", "accumulate_steps")
        },
        "max_labels": fields["input"]["max_labels"],
        "versions": {
            name: importlib.metadata.version(name) for name in ("jax", "jaxlib", "libtpu")
        },
        "code": _hash_of_code(),
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def _hash_of_code() -> str:
    root = pathlib.Path(__file__).parent.parent
    digest = hashlib.sha256()
    for name in _SOURCES:
        digest.update((root / name).read_bytes())
    return digest.hexdigest()
