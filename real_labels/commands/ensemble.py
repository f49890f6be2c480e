"""python -m real_labels ensemble."""

from __future__ import annotations

import argparse
import difflib
from typing import TYPE_CHECKING

from real_labels.commands import options as common
from real_labels.errors import InputError, naming

if TYPE_CHECKING:
    import numpy as np

    from real_labels.labels import Reference
    from real_labels.predictions.reading import PredictionFile

SUMMARY = "combine the predictions of several models into one file, which `score` reads"
EXAMPLE = "a.npz b.npz c.npz --out together.npz"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument(
        "predictions",
        nargs="+",
        metavar="PREDICTIONS",
        help=f"{common.PREDICTIONS}; of a file of several models, all are combined",
    )
    parser.add_argument(
        "--models",
        metavar="NAMES",
        help="of files of several models, combine only these; names joined by commas",
    )
    parser.add_argument(
        "--out",
        required=True,
        metavar="FILE.npz",
        help="write the combined predictions (file_names, classes, scores)",
    )
    common.add_dataset(parser)


def run(options: argparse.Namespace) -> None:
    """Combines the models: by the mean of their scores if all have scores, else by votes of their ranks."""
    import tqdm

    from real_labels.accuracy import scoring
    from real_labels.predictions.ensemble import Ensemble

    common.check_outputs((options.out, (".npz",)), inputs=options.predictions)
    reference = common.original_reference(options)
    class_names = common.class_names(options, reference)
    wanted = None if options.models is None else common.names_in(options.models)
    together, used, seen = Ensemble(), [], []
    for path in tqdm.tqdm(
        options.predictions, desc="reading", unit=" files", leave=False, delay=1, disable=None
    ):
        for model, scored, file in scoring.score_each(
            path, reference, column=options.column, class_names=class_names
        ):
            if model is not None:
                seen.append(model)
                if wanted is not None and model not in wanted:
                    continue
            where = path if model is None else f"{path}: {model}"
            if where in used:
                raise InputError(f"{where}: is given twice; give each model once.")
            if scored.repair is not None:
                raise InputError(
                    f"{where}: is mixed up, so it would spoil the others. {scored.evidence}"
                )
            with naming(where):
                together.add(_names(file, reference), file)
            used.append(where)
    if missing := [name for name in wanted or () if name not in seen]:
        near = difflib.get_close_matches(missing[0], seen, 5, 0.4) or seen[:5]
        known = (
            f" among {len(seen):,}, such as {', '.join(near)}"
            if near
            else "; each file holds one model without a name"
        )
        raise InputError(f"--models {missing[0]}: there is no such model{known}.")
    predictions = together.predictions()
    predictions.save(options.out)
    method = "the mean of their probabilities" if together.by_scores else "the votes of their ranks"
    print(f"{len(used)} models together, by {method}, on {len(predictions):,} images:")
    for model in used:
        print(f"  {model}")
    print(f"Wrote {options.out}.")


def _names(file: PredictionFile, reference: Reference) -> np.ndarray:
    """Returns the images of a file's rows, as spelled in the labels; all images if the file has no names."""
    import numpy as np

    from real_labels.labels import match

    if file.file_names is None:
        return np.sort(reference.file_names)
    return reference.file_names[match(reference.file_names, file.file_names)]
