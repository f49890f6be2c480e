"""Needs of programs that were compiled before, in the user's cache, because compiling takes minutes."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import logging
import os
import pathlib
from collections.abc import Callable

import jax
import platformdirs

from big_transfer.compilation.measuring import Needs
from big_transfer.compilation.programs import Program
from big_transfer.compilation.slices import Slice
from real_labels import files
from real_labels.errors import InputError
from real_labels.files import json_text

log = logging.getLogger("big_transfer")

# The code that counts, beside this file.
_SOURCES = ("measuring.py", "program_text.py", "traffic.py", "collectives.py")
_SETTINGS = ("LIBTPU_INIT_ARGS", "XLA_FLAGS")


def kept(program: Program, place: Slice, compiled: Callable[[], Needs]) -> Needs:
    """Returns the kept needs of a program, or compiles it and keeps them.

    Args:
      program: the program.
      place: the slice that it is for.
      compiled: compiles the program.
    """
    path = folder() / f"{_key(program, place)}.json"
    # JAX's folder of compiled programs gets only programs that are compiled now.
    if path.exists() and not writes_programs():
        try:
            return Needs.from_json(json_text.read(path))
        except (InputError, TypeError, LookupError, AttributeError):
            path.unlink()  # damaged
    needs = compiled()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_json(path, needs.as_json())
    except OSError as error:
        log.warning("The result is not kept in %s (%s).", path.parent, error)
    return needs


def writes_programs() -> bool:
    """Whether JAX keeps compiled programs in a folder."""
    return bool(jax.config.jax_compilation_cache_dir)  # pyright: ignore[reportAttributeAccessIssue]


def folder() -> pathlib.Path:
    """The folder of the kept needs."""
    return pathlib.Path(platformdirs.user_cache_dir("big_transfer")) / "compiled"


def _key(program: Program, place: Slice) -> str:
    """Hash of the program's text, the slice, and the software that compiles and counts."""
    here = pathlib.Path(__file__).parent
    identity = (
        program.lowered.as_text(),
        [place.name, dataclasses.asdict(place.chip)],
        [program.micro_batches, program.parts, program.resident],
        [importlib.metadata.version(name) for name in ("jaxlib", "libtpu")],
        [os.environ.get(name) for name in _SETTINGS],
        [(here / name).read_text(encoding="utf-8") for name in _SOURCES],
    )
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()
