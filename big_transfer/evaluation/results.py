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
    workdir.write_results(folder, record.as_json())


def best_metrics(accuracies: Results) -> dict[str, float]:
    """{"original/top1": …, "real/top5": …}: what `checkpoint_best` chooses by."""
    return {
        f"{name}/top{k}": one.at(k).value if one.at(k).is_known else 0.0
        for name, one in accuracies.by_label_set.items()
        for k in TOP_K
    }


def report_evaluation(step: int, evaluation: Evaluation, writer: Any, *, final: bool) -> None:
    """An evaluation in one line (the last one gets a table of its own), and for TensorBoard."""
    accuracies = evaluation.accuracies
    scalars = best_metrics(accuracies) | {
        "loss": evaluation.loss,
        "images_per_second": evaluation.images_per_second,
    }
    writer.write_scalars(step, {f"eval/{name}": value for name, value in scalars.items()})
    if not final:
        said = [
            f"{title_of(name)} top-1 {100 * one.top1.value:.2f}%{_of_a_part(accuracies, name)}"
            for name, one in accuracies.by_label_set.items()
            if one.top1.is_known
        ]
        of_mock = "  (random images)" if evaluation.is_mock else ""
        log.info(
            "step %s evaluated: %s  loss %.4f%s",
            f"{step:,}",
            "  ".join(said),
            evaluation.loss,
            of_mock,
        )


def _of_a_part(accuracies: Results, name: str) -> str:
    """For a label set of a part of the images, the accuracy by the original labels on the same ones."""
    one, original = accuracies.reassessments.get(name), accuracies.original
    if one is None or original is None or one.original_top1 is None:
        return ""
    if one.covered == original.top1.n:
        return ""
    return f" ({one.top1.n:,} images; original there {100 * one.original_top1.value:.2f}%)"


def table(record: Record) -> str:
    """A record for a person."""
    head = (
        f"{record.dataset} {record.split}, {record.num_images:,} images, step {record.step:,} "
        f"(95% intervals)"
    )
    titles = _titles(record.accuracies)
    more = "".join(f"{said}\n" for said in remarks(record.accuracies, titles))
    return f"\n{head}\n{_mock_line(record)}\n{as_table(record.accuracies, titles)}\n{more}"


def _mock_line(record: Record) -> str:
    """A line that says that the images were random, or nothing."""
    return f"{MOCK_REMARK}\n" if record.about.get(MOCK) else ""


def comparison_table(comparison: Comparison) -> str:
    """The records of several checkpoints for a person."""
    first = next(iter(comparison.models.values()))
    head = f"{first.dataset} {first.split}, {first.num_images:,} images"
    scored = [(name, one.accuracies) for name, one in comparison.models.items()]
    own = {
        name: one.original_labels
        for name, one in first.accuracies.reassessments.items()
        if one.original_labels is not None
    }
    titles = _titles(first.accuracies)
    table = accuracy_table(scored, titles, ("the original labels", own))
    more = "".join(f"\n{name}: {said}" for name, one in scored for said in remarks(one, titles))
    pairs = pairs_table(comparison.pairs, titles)
    return f"\n{head} (95% intervals)\n{_mock_line(first)}\n{table}{more}\n\n{pairs}\n"


def _titles(accuracies: Results) -> dict[str, str]:
    return {name: title_of(name) for name in accuracies.by_label_set}
