"""Result files, log lines and tables of an evaluation."""

from __future__ import annotations

import logging
from typing import Any

import jax
from etils import epath

from big_transfer.evaluation import gallery
from big_transfer.evaluation.evaluator import Evaluation
from big_transfer.evaluation.record import MOCK, Comparison, Record
from big_transfer.run import workdir
from real_labels import files
from real_labels.accuracy import Results
from real_labels.accuracy.text import accuracy_table, as_table, pairs_table, remarks
from real_labels.labels.reassessment import title_of
from real_labels.predictions import TOP_K
from real_labels.predictions.predictions import MOCK_REMARK

log = logging.getLogger("big_transfer")


def finish(evaluator, evaluation, record, config, folder) -> None:
    """Writes predictions.npz, examples.png, class_names.json and results.json.

    results.json comes last, because it marks the evaluation as complete.
    """
    if jax.process_index() > 0:
        return
    folder = epath.Path(folder)
    evaluation.predictions.save(folder / "predictions.npz")
    if config.example_images:
        try:
            gallery.save(folder / "examples.png", evaluator.source, evaluation, config)
        except Exception:  # without the picture, the results are still written
            log.exception("The picture of examples could not be drawn.")
    original = evaluator.source.label_keys[0]
    files.write_json(folder / "class_names.json", evaluator.source.class_names[original])
    workdir.write_results(folder, record.as_json())


def best_metrics(accuracies: Results) -> dict[str, float]:
    """The metrics for `checkpoint_best`, {"original/top1": …, "real/top5": …}; 0 if unknown."""
    return {
        f"{name}/top{k}": accuracy.at(k).value if accuracy.at(k).is_known else 0.0
        for name, accuracy in accuracies.by_label_set.items()
        for k in TOP_K
    }


def report_evaluation(step: int, evaluation: Evaluation, writer: Any, *, final: bool) -> None:
    """Writes an evaluation to TensorBoard and logs one line, except for the final one, which gets a table."""
    accuracies = evaluation.accuracies
    scalars = best_metrics(accuracies) | {
        "loss": evaluation.loss,
        "images_per_second": evaluation.images_per_second,
    }
    writer.write_scalars(step, {f"eval/{name}": value for name, value in scalars.items()})
    if not final:
        parts = [
            f"{title_of(name)} top-1 {100 * accuracy.top1.value:.2f}%{_coverage_note(accuracies, name)}"
            for name, accuracy in accuracies.by_label_set.items()
            if accuracy.top1.is_known
        ]
        mock_note = "  (random images)" if evaluation.is_mock else ""
        log.info(
            "step %s evaluated: %s  loss %.4f%s",
            f"{step:,}",
            "  ".join(parts),
            evaluation.loss,
            mock_note,
        )


def _coverage_note(accuracies: Results, name: str) -> str:
    """Original accuracy on the images of a label set that covers only a part of the images; else ""."""
    result, original = accuracies.reassessments.get(name), accuracies.original
    if result is None or original is None or result.original_top1 is None:
        return ""
    if result.covered == original.top1.n:
        return ""
    top1 = f"{100 * result.original_top1.value:.2f}%"
    return f" ({result.top1.n:,} images; original on these images {top1})"


def table(record: Record) -> str:
    """A record as text for the terminal."""
    head = (
        f"{record.dataset} {record.split}, {record.num_images:,} images, step {record.step:,} "
        f"(95% intervals)"
    )
    titles = _titles(record.accuracies)
    notes = "".join(f"{remark}\n" for remark in remarks(record.accuracies, titles))
    return f"\n{head}\n{_mock_line(record)}\n{as_table(record.accuracies, titles)}\n{notes}"


def _mock_line(record: Record) -> str:
    """A warning line if the images were random; else ""."""
    return f"{MOCK_REMARK}\n" if record.about.get(MOCK) else ""


def comparison_table(comparison: Comparison) -> str:
    """The records of several checkpoints as text for the terminal."""
    first = next(iter(comparison.models.values()))
    head = f"{first.dataset} {first.split}, {first.num_images:,} images"
    models = [(name, record.accuracies) for name, record in comparison.models.items()]
    original_labels = {
        name: result.original_labels
        for name, result in first.accuracies.reassessments.items()
        if result.original_labels is not None
    }
    titles = _titles(first.accuracies)
    table = accuracy_table(models, titles, ("the original labels", original_labels))
    notes = "".join(
        f"\n{name}: {remark}"
        for name, accuracies in models
        for remark in remarks(accuracies, titles)
    )
    pairs = pairs_table(comparison.pairs, titles)
    return f"\n{head} (95% intervals)\n{_mock_line(first)}\n{table}{notes}\n\n{pairs}\n"


def _titles(accuracies: Results) -> dict[str, str]:
    return {name: title_of(name) for name in accuracies.by_label_set}
