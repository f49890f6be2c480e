"""The operations between chips in a compiled program."""

from __future__ import annotations

import collections
import dataclasses

from big_transfer.compilation.program_text import Instruction, ProgramText

_KINDS = ("all-reduce", "all-gather", "reduce-scatter", "collective-permute", "all-to-all")
_END = 'custom_call_target="AsyncCollectiveDone"'


@dataclasses.dataclass(frozen=True)
class Collective:
    """One kind of operation between chips, on one kind of array, in one step.

    Attributes:
      kind: "all-reduce", "all-gather", "reduce-scatter", "collective-permute" or "all-to-all".
      bytes: size of the whole arrays on one chip: the result of a gather, the input of the others.
      count: number of operations in a step.
      largest: the largest array, such as "bf16[32,14,14,1024]".
    """

    kind: str
    bytes: int
    count: int
    largest: str


def collectives(program: ProgramText, chips: int) -> tuple[Collective, ...]:
    """The operations between chips in a program, by kind, the most bytes first.

    Args:
      program: the program. An operation in the body of a loop counts as often as the loop runs.
      chips: number of chips, all of which take part in every operation.
    """
    sizes: dict[str, int] = collections.Counter()
    counts: dict[str, int] = collections.Counter()
    largest: dict[str, tuple[int, str]] = {}
    for name, computation in program.computations.items():
        runs, instructions = program.runs[name], computation.values()
        # An asynchronous operation is in three computations: its start, the work beside it, and its end.
        if name.startswith("async_collective_fusion") or any(
            _END in each.attributes for each in instructions
        ):
            continue
        for instruction in instructions:
            opcode = instruction.opcode.removesuffix("-start")
            if opcode not in _KINDS or not runs:
                continue
            # The compiler writes a reduce-scatter as an all-reduce in a fusion of this name.
            kind = "reduce-scatter" if name.startswith("all-reduce-scatter") else opcode
            arrays = _moved(instruction, chips)
            sizes[kind] += runs * sum(size for size, _ in arrays)
            counts[kind] += runs
            largest[kind] = max(largest.get(kind, (0, "")), *arrays)
    found = [Collective(kind, sizes[kind], counts[kind], largest[kind][1]) for kind in counts]
    return tuple(sorted(found, key=lambda collective: -collective.bytes))


def _moved(instruction: Instruction, chips: int) -> list[tuple[int, str]]:
    """(bytes, text) of the whole arrays that an operation moves."""
    arrays = [(array.bytes, array.text) for array in instruction.outputs]
    if instruction.opcode.startswith("reduce-scatter"):  # the result is one chip's part
        arrays = [(size * chips, array) for size, array in arrays]
    return arrays
