"""Result files, log lines and tables of an evaluation."""

from __future__ import annotations

import logging
from typing import Any

import jax
from etils import epath

from big_transfer.evaluation import gallery
from big_transfer.run import workdir
from real_labels import files
from real_labels.accuracy.text import accuracy_table, as_table, pairs_table

log = logging.getLogger("big_transfer")


def finish(evaluator, evaluation, record, config, folder) -> None:
    """Writes predictions.npz, the picture and, as the sign of completion last, results.json."""
    if jax.process_index() > 0:
        return
    folder = epath.Path(folder)
    evaluation.predictions.save(folder / "predictions.npz")
    if config.example_images:
        try:
            gallery.save(folder / "examples.png", evaluator.source, evaluation, config)
        except Exception:  # a picture is no reason to lose the results
            log.exception("The picture of examples could not be drawn.")
    original = evaluator.source.label_keys[0]
    files.write_json(folder / "class_names.json", evaluator.source.class_names[original])
    workdir.write_results(folder, record)


def best_metrics(record: dict[str, Any]) -> dict[str, float]:
    """{"original/top1": …, "real/top5": …}: what `checkpoint_best` chooses by."""
    return {
        f"{labels}/{top}": record[labels][top]["value"] or 0.0
        for labels in ("original", "real")
        if labels in record
        for top in record[labels]
    }


def report_evaluation(step: int, record: dict[str, Any], writer: Any, *, final: bool) -> None:
    """An evaluation in one line (the last one gets a table of its own), and for TensorBoard."""
    scalars = best_metrics(record) | {
        "loss": record["loss"],
        "images_per_second": record["images_per_second"],
    }
    writer.write_scalars(step, {f"eval/{name}": value for name, value in scalars.items()})
    if not final:
        parts = [f"original top-1 {100 * record['original']['top1']['value']:.2f}%"]
        if "real" in record and record["real"]["top1"]["value"] is not None:
            parts.append(f"ReaL top-1 {100 * record['real']['top1']['value']:.2f}%")
        log.info("step %s evaluated: %s  loss %.4f", f"{step:,}", "  ".join(parts), record["loss"])


def table(record: dict[str, Any]) -> str:
    """A record of results.json for a person."""
    head = (
        f"{record['dataset']} {record['split']}, {record['num_images']:,} images, step "
        f"{record['step']:,} (95% intervals)"
    )
    return f"\n{head}\n\n{as_table(record)}\n"


def comparison_table(record: dict[str, Any]) -> str:
    """A record of comparison.json for a person."""
    models, tested = record["models"], record["pairs"]
    head = f"{models[0]['dataset']} {models[0]['split']}, {models[0]['num_images']:,} images"
    itself = models[0].get("original_labels")
    table = accuracy_table(
        [(one["name"], one) for one in models],
        ("the original labels", itself["real_top1"]) if itself else None,
    )
    return f"\n{head} (95% intervals)\n\n{table}\n\n{pairs_table(tested)}\n"
