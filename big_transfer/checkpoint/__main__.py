"""Inspects checkpoints, and converts them between formats.

    python -m big_transfer.checkpoint inspect BiT-M-R50x1.npz
    python -m big_transfer.checkpoint convert BiT-M-R50x1.npz model.safetensors     (for timm)
    python -m big_transfer.checkpoint convert model.safetensors BiT-M-R50x1.npz     (from timm)
    python -m big_transfer.checkpoint convert runs/pets BiT-M-R50x1-pets.npz        (a run's newest)
    python -m big_transfer.checkpoint convert BiT-M-R50x1.npz runs/bit              (a new workdir)

The format follows from the file extension; a name without extension is a workdir.
"""

from __future__ import annotations

import argparse
import math
import sys

import flax.traverse_util
import numpy as np
from etils import epath

from big_transfer import checkpoint, family
from big_transfer.checkpoint import formats, public
from real_labels.errors import ExpectedError, bucket_errors_as_os_errors
from real_labels.files.text_table import text_table

_UPSTREAM = {1000: "ILSVRC-2012", 21_843: "ImageNet-21k"}


def inspect(path: str) -> str:
    """Describes a checkpoint: variant, classes, parameters, memory, and commands that use it.

    Only headers are read, not the values.

    Raises:
      FileNotFoundError: if there is no such file or workdir.
      CheckpointError: if it is not a checkpoint.
    """
    model, shapes = formats.read_shapes(path)
    count = sum(math.prod(leaf.shape) for leaf in shapes.values())
    dtypes = sorted({str(np.dtype(leaf.dtype)) for leaf in shapes.values()})
    variant = family.describe(model.depth, model.width)
    classes = _UPSTREAM.get(model.num_classes or 0)
    rows = [
        ("", path),
        ("format", _format(path)),
        ("model", variant),
        ("classes", f"{model.num_classes:,}" + (f" (as many as {classes})" if classes else "")),
        ("parameters", f"{count:,} in {len(shapes)} arrays, {', '.join(dtypes)}"),
        ("memory", f"{_gib(4 * count)} float32; with gradient and momentum {_gib(12 * count)}"),
    ]
    name = variant if variant in family.VARIANTS else None
    member = name or "…"
    if model.num_classes == 1000:
        size = family.evaluation_size(epath.Path(path).stem)
        evaluate = f"configs/bit_evaluate.py:{member}" if name else "configs/bit_evaluate.py"
        hint = (
            ""
            if family.says_size(epath.Path(path).stem)
            else " (the name gives no resolution; set --config.eval.size for another)"
        )
        rows.append(("evaluate", f"{evaluate} --config.checkpoint={path}  at {size}×{size}{hint}"))
    if name:
        rows.append(
            (
                "fine-tune",
                f"configs/bit_transfer.py:dataset=cifar10,model={member} --config.checkpoint={path}",
            )
        )
    return text_table(rows)


def _format(path: str) -> str:
    if epath.Path(path).is_dir():
        return "a run's workdir (Orbax)"
    if epath.Path(path).suffix == formats.TIMM_ENDING:
        return "timm's resnetv2_*_bit (.safetensors)"
    return "the public BiT layout (.npz)"


def _gib(size: int) -> str:
    return f"{size / 2**30:.2f} GiB"


def convert(source: str, target: str, *, step: int | None = None, overwrite: bool = False) -> str:
    """Reads a checkpoint and writes it in the format of the target's name; returns a one-line summary.

    Args:
      source: a public `.npz`, a timm `.safetensors`, or a workdir.
      target: a path in one of the same formats; a name without extension becomes a new workdir.
      step: step of the workdir's checkpoint to read; the newest if None.
      overwrite: whether an existing file may be replaced.

    Raises:
      FileNotFoundError: if the source does not exist.
      CheckpointError: if the source is not a checkpoint, the target exists, or its extension is unknown.
    """
    ending = epath.Path(target).suffix
    if not epath.Path(target).is_dir():
        if ending not in ("", ".npz", formats.TIMM_ENDING):
            raise checkpoint.CheckpointError(
                f"{target}: unknown format {ending}. Use .npz for the public layout, "
                f"{formats.TIMM_ENDING} for timm, or a name without extension for a workdir."
            )
        if epath.Path(target).exists() and (not ending or not overwrite):
            raise checkpoint.CheckpointError(
                f"{target} exists already"
                + (
                    "; add --overwrite to replace it."
                    if ending
                    else " and is not a folder. Name another target."
                )
            )
    step, params = checkpoint.load_with_step(source, step=step)
    model = public.model_of(source, flax.traverse_util.flatten_dict(params, sep="/"))
    if formats.is_run(target):
        checkpoint.save_run(target, params, model)
    elif epath.Path(target).suffix == formats.TIMM_ENDING:
        checkpoint.save_safetensors(target, params)
    else:
        checkpoint.save_npz(target, params)
    variant = family.describe(model.depth, model.width)
    description = f"step {step} of {source}" if epath.Path(source).is_dir() else source
    return f"{target}: {description}, {variant} with {model.num_classes:,} classes."


def _run(options: argparse.Namespace) -> None:
    if options.command == "inspect":
        for path in options.files:
            print(inspect(path) + "\n", flush=True)
    else:
        print(
            convert(options.source, options.target, step=options.step, overwrite=options.overwrite)
        )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m big_transfer.checkpoint",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    inspect_parser = commands.add_parser(
        "inspect", help="show variant, classes, parameters and uses"
    )
    inspect_parser.add_argument(
        "files", nargs="+", metavar="FILE", help="checkpoint files or workdirs"
    )
    convert_parser = commands.add_parser("convert", help="write the parameters in another format")
    convert_parser.add_argument(
        "source", metavar="FROM", help=".npz file, .safetensors file or workdir"
    )
    convert_parser.add_argument(
        "target",
        metavar="TO",
        help="like FROM; the extension gives the format",
    )
    convert_parser.add_argument(
        "--step", type=int, help="step of a workdir's checkpoint (default: newest)"
    )
    convert_parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    options = parser.parse_args(arguments)
    try:
        with bucket_errors_as_os_errors():
            _run(options)
    except (ExpectedError, OSError) as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
