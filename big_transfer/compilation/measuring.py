"""What a compiled program needs on one chip: memory, arithmetic, traffic and operations between chips."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import jax

from big_transfer.compilation.collectives import Collective, collectives
from big_transfer.compilation.programs import Program

_OUT_OF_MEMORY = re.compile(r"Used ([\d.]+)([KMGT]) of ([\d.]+)([KMGT]) hbm")
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
# Reads and writes of the update, per parameter: gradient, sum of gradients, momentum and parameter.
_UPDATE_ACCESSES = 7


@dataclasses.dataclass(frozen=True)
class Needs:
    """The needs of one run of a program, per chip.

    Attributes:
      parts: bytes of each part of the arguments (see `programs.Program`).
      argument_bytes: all arguments, with the padding of the chip's layout.
      temporary_bytes: activations, gradients and other intermediate arrays; None if the program does not fit
        and the compiler does not say.
      memory_bytes: arguments, temporaries, results and the program itself.
      available_bytes: the memory that the compiler may use; None if it fits, because the compiler names it
        only if not.
      fits: whether the program fits into the chip's memory.
      flops: floating-point operations; None if it does not fit.
      traffic_bytes: bytes read from and written to memory; None if it does not fit.
      collectives: the operations between chips.
      batch_size: images in one run, over all chips.
    """

    parts: Mapping[str, int]
    argument_bytes: int
    temporary_bytes: int | None
    memory_bytes: int
    available_bytes: int | None
    fits: bool
    flops: float | None
    traffic_bytes: float | None
    collectives: tuple[Collective, ...]
    batch_size: int

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Needs:
        found = tuple(Collective(**collective) for collective in record["collectives"])
        return cls(**{**record, "collectives": found})

    def as_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def compiled(program: Program) -> Needs:
    """Compiles a program and measures it; a program that does not fit gives the memory that it would need."""
    arguments = sum(program.parts.values())
    try:
        executable = program.lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        found = _OUT_OF_MEMORY.search(str(error))
        if found is None:
            raise
        used, available = (int(float(found[i]) * _UNITS[found[i + 1]]) for i in (1, 3))
        return Needs(
            parts=program.parts,
            argument_bytes=arguments,
            temporary_bytes=used - arguments,
            memory_bytes=used,
            available_bytes=available,
            fits=False,
            flops=None,
            traffic_bytes=None,
            collectives=(),
            batch_size=program.batch_size,
        )
    memory = executable.memory_analysis()
    cost = executable.cost_analysis()
    results = memory.output_size_in_bytes - memory.alias_size_in_bytes
    return Needs(
        parts=program.parts,
        argument_bytes=memory.argument_size_in_bytes,
        temporary_bytes=memory.temp_size_in_bytes,
        memory_bytes=memory.argument_size_in_bytes
        + memory.temp_size_in_bytes
        + results
        + memory.generated_code_size_in_bytes,
        available_bytes=None,
        fits=True,
        flops=_over_micro_batches(program, cost["flops"], 0),
        traffic_bytes=_over_micro_batches(
            program, cost["bytes accessed"], _UPDATE_ACCESSES * program.parts["parameters"]
        ),
        collectives=collectives(executable.as_text(), program.num_chips),
        batch_size=program.batch_size,
    )


def _over_micro_batches(program: Program, counted: float, once: float) -> float:
    """The cost of a step; the compiler counts the body of a loop once.

    Args:
      program: the program.
      counted: the compiler's count.
      once: the part of the count outside the loop.
    """
    return once + (counted - once) * program.micro_batches if program.micro_batches > 1 else counted
