"""The operations between chips in a compiled program, read from its text."""

from __future__ import annotations

import collections
import dataclasses
import math
import re

_COMPUTATION = re.compile(r"(?:ENTRY )?%?([\w.\-]+) \(.*\) -> .* \{")
_KINDS = "all-reduce|all-gather|reduce-scatter|collective-permute|all-to-all"
_OPERATION = re.compile(rf"%?[\w.\-]+ = (.*?) ({_KINDS})(-start)?\(")
_ARRAY = re.compile(r"(pred|[a-z]+(\d+)\w*)\[([\d,]*)\]")
_END = 'custom_call_target="AsyncCollectiveDone"'
_CALL = re.compile(
    r"\b(?:calls|to_apply|body|condition|branch_computations)=(\{[^}]*\}|%?[\w.\-]+)"
)
_NAME = re.compile(r"[\w.\-]+")
_BODY = re.compile(r"\bbody=%?([\w.\-]+)")
_CONDITION = re.compile(r"\bcondition=%?([\w.\-]+)")
_LIMIT = re.compile(r"s32\[\]\S* constant\((\d+)\)")


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


def collectives(text: str, chips: int) -> tuple[Collective, ...]:
    """The operations between chips in a program, by kind, the most bytes first.

    Args:
      text: the program, as `compiled.as_text()` gives it. An operation in the body of a loop counts as often
        as the loop runs.
      chips: number of chips, all of which take part in every operation.
    """
    lines: dict[str, list[str]] = {}
    current: list[str] = []
    entry = ""
    for line in text.splitlines():
        if found := _COMPUTATION.match(line):
            current = lines.setdefault(found[1], [])
            entry = found[1] if line.startswith("ENTRY") else entry
        else:
            current.append(line)
    runs = _runs(lines, entry)
    sizes: dict[str, int] = collections.Counter()
    counts: dict[str, int] = collections.Counter()
    largest: dict[str, tuple[int, str]] = {}
    for name, body in lines.items():
        # An asynchronous operation is in three computations: its start, the work beside it, and its end.
        if name.startswith("async_collective_fusion") or any(_END in line for line in body):
            continue
        for line in body:
            found = _OPERATION.search(line)
            if found is None or not runs[name]:
                continue
            # The compiler writes a reduce-scatter as an all-reduce in a fusion of this name.
            kind = "reduce-scatter" if name.startswith("all-reduce-scatter") else found[2]
            arrays = _arrays(found[1])
            # An asynchronous gather or permute returns its inputs, its results and perhaps counters.
            if found[3] and found[2] in ("all-gather", "collective-permute"):
                arrays = [array for array in arrays if array[1] != "u32[]"]
                arrays = arrays[len(arrays) // 2 :]
            if found[2] == "reduce-scatter":  # the result is one chip's part
                arrays = [(size * chips, array) for size, array in arrays]
            sizes[kind] += runs[name] * sum(size for size, _ in arrays)
            counts[kind] += runs[name]
            largest[kind] = max(largest.get(kind, (0, "")), *arrays)
    found = [Collective(kind, sizes[kind], counts[kind], largest[kind][1]) for kind in counts]
    return tuple(sorted(found, key=lambda collective: -collective.bytes))


def _arrays(text: str) -> list[tuple[int, str]]:
    """(bytes, text) of each array in a result type."""
    arrays = []
    for found in _ARRAY.finditer(text):
        bits = int(found[2]) if found[2] else 8
        elements = math.prod(int(n) for n in found[3].split(",")) if found[3] else 1
        arrays.append((elements * bits // 8, found[0]))
    return arrays


def _trips(condition: list[str]) -> int:
    """How often a loop runs that counts from 0 to the number in its condition."""
    limits = [int(found[1]) for line in condition if (found := _LIMIT.search(line))]
    return max(limits, default=1)


def _runs(lines: dict[str, list[str]], entry: str) -> dict[str, int]:
    """How often each computation runs in one run of the program."""
    callers: dict[str, list[tuple[str, int]]] = collections.defaultdict(list)
    for name, body in lines.items():
        for line in body:
            times = {}
            if (loop := _BODY.search(line)) and (condition := _CONDITION.search(line)):
                times[loop[1]] = _trips(lines.get(condition[1], []))
            for callees in _CALL.findall(line):
                for callee in _NAME.findall(callees):
                    callers[callee].append((name, times.get(callee, 1)))
    runs = {entry: 1}

    def count(name: str) -> int:
        if name not in runs:
            runs[name] = 0  # a cycle cannot occur, but must not recur forever
            runs[name] = sum(count(caller) * times for caller, times in callers[name])
        return runs[name]

    return {name: count(name) for name in lines}
