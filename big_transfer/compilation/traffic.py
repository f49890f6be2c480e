"""Accesses to memory in a compiled program, those that leave the chip apart.

The compiler's own count (`cost_analysis`) joins all memories, and counts the body of a loop once. On a TPU,
half of the accesses of a training step can stay in the fast memory on the chip.
"""

from __future__ import annotations

import collections
import dataclasses

from big_transfer.compilation.program_text import Array, Computation, Instruction, ProgramText

# Instructions without accesses of their own; the computations that some of them call are counted themselves.
_FREE = frozenset({
    "parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "opt-barrier",
    "while", "conditional", "call", "partition-id", "replica-id",
})  # fmt: skip
_CALLERS = ("while", "conditional", "call")
_SLICES = ("slice", "dynamic-slice", "gather")
_BITCAST = 'custom_call_target="ConcatBitcast"'
# The start and the end of an asynchronous operation; its accesses are those of the work beside it.
_EDGES = (
    'custom_call_target="AsyncCollectiveStart"',
    'custom_call_target="AsyncCollectiveDone"',
)

Accesses = list[tuple[int, int]]  # (memory space, bytes)


@dataclasses.dataclass(frozen=True)
class Traffic:
    """Bytes read and written in one run of a program, with the padding of the arrays' layouts.

    Each instruction reads an operand once and writes its result once, so these are the least bytes.

    Attributes:
      off_chip_bytes: from and to the chip's main memory.
      loop_factor: accesses to all memories, divided by the same with the body of each loop counted once.
    """

    off_chip_bytes: int
    loop_factor: float


def traffic(program: ProgramText) -> Traffic:
    """Counts the accesses of a program."""
    spaces: dict[int, int] = collections.Counter()
    once = 0
    for name in _scheduled(program):
        computation = program.computations[name]
        for instruction in computation.values():
            for space, size in _accesses(instruction, computation, program):
                spaces[space] += program.runs[name] * size
                once += size
    return Traffic(spaces[0], sum(spaces.values()) / once if once else 1.0)


def _scheduled(program: ProgramText) -> set[str]:
    """The computations whose instructions are run one after the other, not as a part of a fusion."""
    found, waiting = set(), [program.entry]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            for instruction in program.computations.get(name, {}).values():
                if instruction.opcode in _CALLERS:
                    waiting += instruction.callees
    return found & program.computations.keys()


def _accesses(instruction: Instruction, computation: Computation, program: ProgramText) -> Accesses:
    opcode, results = instruction.opcode, instruction.outputs
    if opcode in _FREE or opcode.endswith("-done") or _BITCAST in instruction.attributes:
        return []
    operands = {
        name: computation[name].arrays for name in instruction.operands if name in computation
    }
    if opcode.removesuffix("-start") in _SLICES:
        whole = computation[instruction.operands[0]].arrays[0]
        return [(whole.space, results[0].padded_bytes), *_whole(results)]
    if opcode == "dynamic-update-slice":
        part = computation[instruction.operands[1]].arrays[0]
        return [(part.space, part.padded_bytes), (results[0].space, part.padded_bytes)]
    if opcode == "fusion":
        return _of_fusion(instruction, operands, program)
    return [*_whole(results), *(each for arrays in operands.values() for each in _whole(arrays))]


def _of_fusion(
    fusion: Instruction, operands: dict[str, tuple[Array, ...]], program: ProgramText
) -> Accesses:
    """A fusion reads only the slices that it takes, and writes only the part that it updates."""
    body = program.computations.get(next(iter(fusion.callees), ""), {})
    if any(edge in each.attributes for each in body.values() for edge in _EDGES):
        return []
    return _reads(fusion, operands, body) + _writes(fusion, body)


def _reads(
    fusion: Instruction, operands: dict[str, tuple[Array, ...]], body: Computation
) -> Accesses:
    users: dict[str, list[Instruction]] = collections.defaultdict(list)
    for each in body.values():
        for name in set(each.operands) if each.opcode not in ("parameter", "constant") else ():
            users[name].append(each)
    found: Accesses = []
    for each in body.values():
        if each.opcode == "parameter":
            sliced = _bytes_of_slices(each.name, users)
            for array in operands.get(fusion.operands[int(each.operands[0])], ()):
                whole = array.padded_bytes
                found.append((array.space, whole if sliced is None else min(whole, sliced)))
    return found


def _bytes_of_slices(name: str, users: dict[str, list[Instruction]]) -> int | None:
    """Bytes of the slices that a fusion takes of an array; None if it reads the whole array."""
    total = 0
    for user in users[name]:
        if user.opcode in _SLICES and user.operands[0] == name:
            total += user.arrays[0].padded_bytes
        elif user.opcode == "bitcast":
            more = _bytes_of_slices(user.name, users)
            if more is None:
                return None
            total += more
        elif user.opcode != "dynamic-update-slice" or user.operands[0] != name:
            return None
    return total


def _writes(fusion: Instruction, body: Computation) -> Accesses:
    root = next((each for each in body.values() if each.is_root), None)
    parts = _updated(root, body) if root is not None else []
    if len(parts) != len(fusion.arrays):
        return _whole(fusion.arrays)
    return [
        (array.space, array.padded_bytes if part is None else part)
        for array, part in zip(fusion.arrays, parts, strict=True)
    ]


def _updated(root: Instruction, body: Computation) -> list[int | None]:
    """For each result of a fusion, the bytes of the part that it updates; None for a whole array."""
    results = [body[name] for name in root.operands] if root.opcode == "tuple" else [root]
    found: list[int | None] = []
    for result in results:
        while result.opcode == "bitcast" and result.operands[0] in body:
            result = body[result.operands[0]]
        part = None
        if result.opcode == "dynamic-update-slice":
            part = body[result.operands[1]].arrays[0].padded_bytes
        found.append(part)
    return found


def _whole(arrays) -> Accesses:
    return [(array.space, array.padded_bytes) for array in arrays]
