"""What a compiled program needs on one chip: memory, arithmetic, traffic and operations between chips."""

from __future__ import annotations

import dataclasses
import re
import warnings
from collections.abc import Mapping
from typing import Any

import jax

from big_transfer.compilation.collectives import Collective, collectives
from big_transfer.compilation.program_text import ProgramText
from big_transfer.compilation.programs import Program
from big_transfer.compilation.traffic import traffic
from real_labels.errors import ExpectedError

# The compiler's two refusals: of all memory, and of temporaries that are too large alone.
_USED = re.compile(r"Used ([\d.]+)([KMGT]) of [\d.]+[KMGT] hbm")
_TEMPORARIES = re.compile(r"HLO temporaries \(([\d.]+)([KMGT])\) exceeds available HBM")
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


class CompilationError(ExpectedError, RuntimeError):
    """A program cannot be compiled."""


@dataclasses.dataclass(frozen=True)
class Needs:
    """The needs of one run of a program, per chip.

    Attributes:
      parts: bytes of each part of the arguments (see `programs.Program`).
      argument_bytes: all arguments, with the padding of the chip's layout.
      temporary_bytes: activations, gradients and other intermediate arrays.
      memory_bytes: arguments, temporaries, results and the program itself.
      resident: bytes of each array that a run holds meanwhile (see `programs.Program`).
      available_bytes: the memory that the program may use.
      fits: whether the program fits into the chip's memory, beside the resident arrays.
      flops: floating-point operations; None if the compiler refuses the program for its memory, as for the
        following two.
      traffic_bytes: bytes read and written, in the chip's main memory and in its on-chip memory, as the
        compiler counts them.
      off_chip_bytes: bytes read from and written to the chip's main memory, at least (see `traffic.Traffic`).
      collectives: the operations between chips.
      batch_size: images in one run, over all chips.
    """

    parts: Mapping[str, int]
    argument_bytes: int
    temporary_bytes: int
    memory_bytes: int
    resident: Mapping[str, int]
    available_bytes: float
    fits: bool
    flops: float | None
    traffic_bytes: int | None
    off_chip_bytes: int | None
    collectives: tuple[Collective, ...]
    batch_size: int

    @property
    def total_bytes(self) -> int:
        """Memory of the program and of the resident arrays."""
        return self.memory_bytes + sum(self.resident.values())

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Needs:
        found = tuple(Collective(**collective) for collective in record["collectives"])
        return cls(**{**record, "collectives": found})

    def as_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def compiled(program: Program, available: float) -> Needs:
    """Compiles a program and measures it; a program that does not fit gives the memory that it would need.

    Args:
      program: the program.
      available: memory of a chip, in bytes.

    Raises:
      CompilationError: if the compiler refuses the program for another reason.
    """
    arguments, resident = sum(program.parts.values()), sum(program.resident.values())
    try:
        with warnings.catch_warnings():
            # Without a TPU, JAX writes compiled programs into its folder but cannot read them.
            warnings.filterwarnings("ignore", "Error reading persistent compilation cache entry")
            executable = program.lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        temporaries = _temporaries(str(error), arguments)
        if temporaries is None:
            reason = str(error).strip().partition("\n")[0]
            raise CompilationError(f"the compiler refuses the program ({reason}).") from error
        return Needs(
            parts=program.parts,
            argument_bytes=arguments,
            temporary_bytes=temporaries,
            memory_bytes=arguments + temporaries,
            resident=program.resident,
            available_bytes=available,
            fits=False,
            flops=None,
            traffic_bytes=None,
            off_chip_bytes=None,
            collectives=(),
            batch_size=program.batch_size,
        )
    memory = executable.memory_analysis()
    cost = executable.cost_analysis()
    text = ProgramText.parse(executable.as_text())
    counted = traffic(text)
    # The compiler counts the body of a loop once. Nearly all arithmetic is in the loop over micro-batches.
    repeats = program.micro_batches if program.micro_batches in text.loops else 1
    results = memory.output_size_in_bytes - memory.alias_size_in_bytes
    needed = (
        memory.argument_size_in_bytes
        + memory.temp_size_in_bytes
        + results
        + memory.generated_code_size_in_bytes
    )
    return Needs(
        parts=program.parts,
        argument_bytes=memory.argument_size_in_bytes,
        temporary_bytes=memory.temp_size_in_bytes,
        memory_bytes=needed,
        resident=program.resident,
        available_bytes=available,
        fits=needed + resident <= available,
        flops=cost["flops"] * repeats,
        traffic_bytes=round(cost["bytes accessed"] * counted.loop_factor),
        off_chip_bytes=counted.off_chip_bytes,
        collectives=collectives(text, program.num_chips),
        batch_size=program.batch_size,
    )


def _temporaries(message: str, arguments: int) -> int | None:
    """Bytes of a refused program's temporaries; None if the message is not about memory."""
    for pattern, others in ((_USED, arguments), (_TEMPORARIES, 0)):
        if found := pattern.search(message):
            return int(float(found[1]) * _UNITS[found[2]]) - others
    return None
