"""A plan as text and as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from big_transfer.compilation.measuring import Needs
from big_transfer.compilation.remedies import Remedy
from big_transfer.compilation.slices import Chip, Slice
from real_labels.files.text_table import text_table

_UNKNOWN = "not known"


@dataclasses.dataclass(frozen=True)
class Plan:
    """A config on a TPU slice.

    Attributes:
      slice: the slice.
      train: needs of the training step; None for a config without training.
      evaluate: needs of the evaluation step; with the remedy, if there is one.
      remedy: a change with which the training step fits; None if it fits, or if none was found.
      num_steps: length of the run; None if the number of training images is not known.
    """

    slice: Slice
    train: Needs | None
    evaluate: Needs
    remedy: Remedy | None = None
    num_steps: int | None = None


def as_json(plan: Plan) -> dict[str, Any]:
    """The plan for --json: bytes and operations are of one step on one chip."""
    record: dict[str, Any] = {
        "topology": plan.slice.name,
        "chips": len(plan.slice.devices),
        "hosts": plan.slice.num_hosts,
    }
    for name, needs in (("train", plan.train), ("evaluate", plan.evaluate)):
        record[name] = None if needs is None else _needs_as_json(needs, plan)
    if plan.train is not None:
        record["train"] |= {"steps": plan.num_steps, "hours": hours(plan.train, plan)}
        if plan.remedy is not None:
            needs = plan.remedy.needs
            record["train"]["remedy"] = {
                "flags": plan.remedy.flags,
                **_needs_as_json(needs, plan),
                "hours": hours(needs, plan),
            }
    return record


def _needs_as_json(needs: Needs, plan: Plan) -> dict[str, Any]:
    names = (
        "argument_bytes", "temporary_bytes", "memory_bytes", "fits", "flops", "traffic_bytes",
        "off_chip_bytes", "parts", "resident",
    )  # fmt: skip
    per_chip = needs.as_json()
    return {
        "per_chip": {name: per_chip[name] for name in names},
        "batch_size": needs.batch_size,
        "collectives": per_chip["collectives"],
        "images_per_second": images_per_second(needs, plan.slice.chip),
        "bound_by": bound(needs, plan.slice.chip),
    }


def seconds(needs: Needs, chip: Chip) -> dict[str, float] | None:
    """The least time of a step for its arithmetic and its traffic off the chip; None if it does not fit."""
    if not needs.fits or needs.flops is None or needs.off_chip_bytes is None:
        return None
    return {
        "arithmetic": needs.flops / chip.flops,
        "memory traffic": needs.off_chip_bytes / chip.bandwidth,
    }


def bound(needs: Needs, chip: Chip) -> str | None:
    """What limits the speed of a step: "arithmetic" or "memory traffic"; None if it does not fit."""
    times = seconds(needs, chip)
    return max(times, key=times.__getitem__) if times else None


def images_per_second(needs: Needs, chip: Chip) -> float | None:
    """Images per second, over all chips, at most."""
    times = seconds(needs, chip)
    return needs.batch_size / max(times.values()) if times else None


def hours(needs: Needs, plan: Plan) -> float | None:
    """The hours of the training steps; None if their number is not known, or the step does not fit."""
    times = seconds(needs, plan.slice.chip)
    return max(times.values()) * plan.num_steps / 3600 if times and plan.num_steps else None


def text(plans: Sequence[Plan]) -> str:
    """One plan in full; several as a table."""
    return _in_full(plans[0]) if len(plans) == 1 else _as_table(plans)


def _in_full(plan: Plan) -> str:
    chip, chips = plan.slice.chip, len(plan.slice.devices)
    hosts = plan.slice.num_hosts
    lines = [
        f"{plan.slice.name}: {chips} chips on {hosts} host{'s' * (hosts > 1)}, each with "
        f"{chip.memory / 2**30:.0f} GiB, {chip.flops / 1e12:.0f} TFLOP/s in bfloat16, "
        f"{chip.bandwidth / 1e9:,.0f} GB/s"
    ]
    if plan.train is not None:
        lines += _step("Training", plan.train, chip) + _length(plan.train, plan) + _remedy(plan)
    lines += _step("Evaluation", plan.evaluate, chip)
    if not plan.evaluate.fits:
        lines += ["  Set a smaller --config.eval.batch_size, or take a chip with more memory."]
    return "\n".join(["", *lines, ""])


def _step(name: str, needs: Needs, chip: Chip) -> list[str]:
    heading = f"{name} step of {needs.batch_size:,} images, per chip"
    return ["", heading, *_memory(needs), *_speed(needs, chip)]


def _memory(needs: Needs) -> list[str]:
    parts = {**needs.parts, "temporaries": needs.temporary_bytes, **needs.resident}
    rest = needs.memory_bytes - sum(needs.parts.values()) - needs.temporary_bytes
    if rest:
        parts["program, padding"] = rest
    lines = [f"  {name:20}{_gib(size)}" for name, size in parts.items()]
    total = needs.total_bytes
    if needs.fits:
        verdict = f"fits in {needs.available_bytes / 2**30:g} GiB"
    else:
        over = _gib(total - needs.available_bytes).strip()
        verdict = f"does NOT fit: {over} too much for {needs.available_bytes / 2**30:g} GiB"
    return [*lines, f"  {'memory':20}{_gib(total)}  {verdict}"]


def _speed(needs: Needs, chip: Chip) -> list[str]:
    times = seconds(needs, chip)
    if times is None:
        return []
    assert needs.flops is not None and needs.traffic_bytes and needs.off_chip_bytes is not None
    counts = {
        "arithmetic": f"{needs.flops / 1e12:8.2f} TFLOP",
        "memory traffic": f"{needs.off_chip_bytes / 1e9:8.2f} GB   ",
    }
    limit = max(times.values())
    lines = [
        f"  {name:20}{counts[name]}  {1e3 * time:8.2f} ms at least"
        + ("  <- bound" if time == limit else "")
        for name, time in times.items()
    ]
    lines.append(
        f"  {'all accesses':20}{needs.traffic_bytes / 1e9:8.2f} GB     counted by the compiler, the "
        "on-chip memory included"
    )
    lines.append(f"  {'images/s':20}{needs.batch_size / limit:8,.0f} of the slice at most")
    for found in needs.collectives:
        lines.append(
            f"  {found.kind:20}{found.bytes / 1e6:8,.2f} MB     {found.count:,} operations, the largest of "
            f"{found.largest}"
        )
    return lines


def _length(needs: Needs, plan: Plan) -> list[str]:
    if plan.num_steps is None:
        return [f"  {'hours':20}{_UNKNOWN}: give --examples=N, the number of training images"]
    found = hours(needs, plan)
    if found is None:
        return []
    chip_hours = found * len(plan.slice.devices)
    return [
        f"  {'hours':20}{found:8,.2f} at least for {plan.num_steps:,} steps: {chip_hours:,.1f} chip-hours"
    ]


def _remedy(plan: Plan) -> list[str]:
    if plan.train is None or plan.train.fits:
        return []
    if plan.remedy is None:
        return ["", "No setting was found that fits: take a larger slice, or a smaller batch."]
    needs, chip = plan.remedy.needs, plan.slice.chip
    lines = ["", f"It fits with {plan.remedy.flags}. Then, per chip"]
    return lines + _memory(needs) + _speed(needs, chip) + _length(needs, plan)


def _as_table(plans: Sequence[Plan]) -> str:
    """A row for each slice; a step that does not fit is shown with the change that makes it fit."""
    names = ["slice", "chips", "GiB a chip", "fits", "bound by", "images/s", "hours", "chip-hours"]
    rows = [names]
    for plan in plans:
        needs = plan.train or plan.evaluate
        verdict = "as it is"
        if not needs.fits:
            verdict = "NOTHING FOUND"
            if plan.remedy is not None:
                needs, verdict = plan.remedy.needs, plan.remedy.flags
        if plan.train is not None and not plan.evaluate.fits:
            verdict += "; evaluation does NOT fit"
        rate, chips = images_per_second(needs, plan.slice.chip), len(plan.slice.devices)
        length = ["", ""]
        if plan.train is not None and needs.fits:
            found = hours(needs, plan)
            length = [_UNKNOWN] * 2 if found is None else [f"{found:,.2f}", f"{found * chips:,.1f}"]
        memory = max(needs.total_bytes, plan.evaluate.total_bytes)
        rows.append([
            plan.slice.name,
            str(chips),
            f"{memory / 2**30:.2f} of {needs.available_bytes / 2**30:g}",
            verdict,
            bound(needs, plan.slice.chip) or "",
            "" if rate is None else f"{rate:,.0f}",
            *length,
        ])  # fmt: skip
    return f"\n{text_table(rows, '<>><<>>>')}\n"


def _gib(size: float) -> str:
    return f"{size / 2**30:8.2f} GiB"
