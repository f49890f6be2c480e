"""A compiled program, read from its text: computations, instructions, and how often each of them runs."""

from __future__ import annotations

import collections
import dataclasses
import functools
import math
import re

_COMPUTATION = re.compile(r"(?:ENTRY )?%?([\w.\-]+) \(.*\) -> .* \{")
_INSTRUCTION = re.compile(r"\s+(ROOT )?%?([\w.\-]+) = (.*?) ([a-z][a-z\-]*)\(([^)]*)\)(.*)")
_ARRAY = re.compile(r"((?:pred|[a-z]+(\d+)\w*)\[([\d,]*)\])(\{[^}]*\})?")
_LAYOUT = re.compile(r"\{([\d,]*)(?::T\(([\d,]+)\))?")
_SPACE = re.compile(r"S\((\d+)\)")
_NAME = re.compile(r"[\w.\-]+")
_CALL = re.compile(
    r"\b(?:calls|to_apply|body|condition|branch_computations|true_computation|false_computation)="
    r"(\{[^}]*\}|%?[\w.\-]+)"
)
_BODY = re.compile(r"\bbody=%?([\w.\-]+)")
_CONDITION = re.compile(r"\bcondition=%?([\w.\-]+)")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
_COUNTERS = ("u32[]", "s32[]")  # of asynchronous operations


@dataclasses.dataclass(frozen=True)
class Array:
    """An array in the result of an instruction.

    Attributes:
      text: dtype and shape, such as "bf16[32,14,14,1024]".
      bytes: size of its elements.
      padded_bytes: size with the padding of its layout.
      space: number of its memory: 0 is the chip's main memory, others are on the chip.
    """

    text: str
    bytes: int
    padded_bytes: int
    space: int


@dataclasses.dataclass(frozen=True)
class Instruction:
    """An instruction.

    Attributes:
      name: its name in the computation.
      opcode: such as "fusion".
      result: type of the result: an array, or a tuple in parentheses.
      operands: names of the operands; for a parameter or a constant, the text in its parentheses.
      attributes: the text behind the operands.
      is_root: whether its result is that of the computation.
    """

    name: str
    opcode: str
    result: str
    operands: tuple[str, ...]
    attributes: str
    is_root: bool

    @functools.cached_property
    def arrays(self) -> tuple[Array, ...]:
        """The arrays of the result, those of nested tuples included."""
        return tuple(_array(found) for found in _ARRAY.finditer(self.result))

    @property
    def outputs(self) -> tuple[Array, ...]:
        """The arrays that the instruction writes.

        The start of an asynchronous operation returns its operands, its results and counters; that of a
        copy its result, its operand and a counter; that of an all-reduce its results alone.
        """
        if self.opcode == "copy-start":
            return self.arrays[:1]
        if not self.opcode.endswith("-start") or self.opcode == "all-reduce-start":
            return self.arrays
        arrays = [array for array in self.arrays if array.text not in _COUNTERS]
        return tuple(arrays[len(arrays) // 2 :])

    @property
    def callees(self) -> list[str]:
        """Names of the computations that it calls."""
        return [name for found in _CALL.findall(self.attributes) for name in _NAME.findall(found)]


Computation = dict[str, Instruction]


@dataclasses.dataclass(frozen=True)
class ProgramText:
    """A compiled program.

    Attributes:
      computations: by name, the instructions by name.
      entry: name of the first computation.
    """

    computations: dict[str, Computation]
    entry: str

    @classmethod
    def parse(cls, text: str) -> ProgramText:
        """Reads a program as `compiled.as_text()` gives it."""
        computations: dict[str, Computation] = {}
        current: Computation = {}
        entry = ""
        for line in text.splitlines():
            if found := _COMPUTATION.match(line):
                current = computations.setdefault(found[1], {})
                entry = found[1] if line.startswith("ENTRY") else entry
            elif found := _INSTRUCTION.match(line):
                root, name, result, opcode, operands, attributes = found.groups()
                names = tuple(_NAME.findall(re.sub(r"/\*.*?\*/", "", operands)))
                current[name] = Instruction(name, opcode, result, names, attributes, bool(root))
        return cls(computations, entry)

    @functools.cached_property
    def runs(self) -> dict[str, int]:
        """How often each computation runs in one run of the program.

        A conditional counts all its branches, and a loop of unknown length counts once.
        """
        callers: dict[str, list[tuple[str, int]]] = collections.defaultdict(list)
        for name, body in self.computations.items():
            for instruction in body.values():
                times = self._trips(instruction)
                for callee in instruction.callees:
                    callers[callee].append((name, times.get(callee, 1)))
        runs = {self.entry: 1}

        def count(name: str) -> int:
            if name not in runs:
                runs[name] = 0  # a cycle cannot occur, but must not recur forever
                runs[name] = sum(count(caller) * times for caller, times in callers[name])
            return runs[name]

        return {name: count(name) for name in self.computations}

    @functools.cached_property
    def loops(self) -> list[int]:
        """How often each loop runs its body."""
        found = (self._trips(each) for body in self.computations.values() for each in body.values())
        return [times for trips in found for times in trips.values()]

    def _trips(self, instruction: Instruction) -> dict[str, int]:
        """How often a loop runs its body: as the compiler notes, else up to the number in its condition."""
        body = _BODY.search(instruction.attributes)
        condition = _CONDITION.search(instruction.attributes)
        if body is None or condition is None:
            return {}
        if noted := _TRIPS.search(instruction.attributes):
            return {body[1]: int(noted[1])}
        parts = [condition[1]]
        for each in self.computations.get(condition[1], {}).values():
            parts += each.callees  # the comparison may be a fusion
        limits = [
            int(each.operands[0])
            for part in parts
            for each in self.computations.get(part, {}).values()
            if each.opcode == "constant" and each.result.startswith(_COUNTERS)
        ]
        return {body[1]: max(limits, default=1)}


def _array(found: re.Match[str]) -> Array:
    text, bits, extents, layout = found.groups()
    shape = [int(extent) for extent in extents.split(",")] if extents else []
    size = int(bits) if bits else 8
    padded, space = shape, None
    if layout is not None:
        space = _SPACE.search(layout)
        order, tile = _LAYOUT.match(layout).groups()  # pyright: ignore[reportOptionalMemberAccess]
        padded = _padded(shape, order, tile)
    return Array(
        text,
        math.prod(shape) * size // 8,
        math.prod(padded) * size // 8,
        int(space[1]) if space else 0,
    )


def _padded(shape: list[int], order: str, tile: str | None) -> list[int]:
    """The extents, the last in memory first, rounded up to whole tiles."""
    extents = [shape[int(axis)] for axis in order.split(",")] if order else []
    tiles = [int(extent) for extent in tile.split(",")][::-1] if tile else []
    extents += [1] * (len(tiles) - len(extents))
    return [
        math.ceil(extent / part) * part
        for extent, part in zip(extents, tiles + [1] * (len(extents) - len(tiles)), strict=True)
    ]
