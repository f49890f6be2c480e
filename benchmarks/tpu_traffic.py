"""Memory traffic, arithmetic and temporaries on a TPU: this project and big_vision, by the same compiler.

    pip install -c constraints.txt -e ".[tpu]"; pip install einops
    git clone https://github.com/google-research/big_vision
    python benchmarks/tpu_traffic.py --big_vision=big_vision

Compiles the forward pass, as evaluation runs it, and the training step of R50x1 for one chip, without a TPU.
The counts are the compiler's and do not vary; accesses off the chip are summed from the program's text. Each
program takes 3 to 10 minutes on two cores.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import pathlib
import sys
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import jax
import jax.numpy as jnp
import model_speed
import optax

from big_transfer import config as config_lib
from big_transfer.compilation import programs, slices
from big_transfer.compilation.program_text import ProgramText
from big_transfer.compilation.traffic import traffic
from big_transfer.config import completion, known_datasets
from big_transfer.run import sharding
from configs import bit_s_imagenet2012
from real_labels import files
from real_labels.files.text_table import text_table

RESULTS = ROOT / "benchmarks" / "results" / "tpu_traffic.json"


def ours(task: str, dtype: str, batch: int, mesh):
    config = bit_s_imagenet2012.get_config()
    config.model.dtype = dtype
    config.input.batch_size = config.eval.batch_size = batch
    size = known_datasets.size_of("imagenet2012", "train")
    complete = completion.plan_training(config_lib.check(config), size)
    make = programs.training_program if task == "train" else programs.evaluation_program
    return make(complete, mesh).lowered


def big_vision(task: str, batch: int, mesh, path: str):
    sys.path.insert(0, path)
    from big_vision.models import bit_paper

    net = bit_paper.Model(1000, 1, 50)
    place = sharding.replicated(mesh)

    def shaped(tree):
        return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), tree)

    images = shaped(jax.ShapeDtypeStruct((batch, 224, 224, 3), jnp.float32))
    labels = shaped(jax.ShapeDtypeStruct((batch,), jnp.int32))
    params = jax.eval_shape(
        lambda: net.init(jax.random.key(0), jnp.zeros((1, 224, 224, 3)))["params"]
    )
    if task == "forward":
        return jax.jit(lambda p, x: net.apply({"params": p}, x)[0]).lower(shaped(params), images)
    tx = optax.sgd(1e-3, momentum=0.9)
    state = shaped(jax.eval_shape(tx.init, params))
    return model_speed.big_vision_step(net, tx).lower(shaped(params), state, images, labels)


def count(lowered) -> dict[str, Any]:
    executable = lowered.compile()
    cost, memory = executable.cost_analysis(), executable.memory_analysis()
    return {
        "temporary_bytes": memory.temp_size_in_bytes,
        "traffic_bytes": cost["bytes accessed"],
        "off_chip_bytes": traffic(ProgramText.parse(executable.as_text())).off_chip_bytes,
        "flops": cost["flops"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--big_vision", required=True, help="checkout of big_vision")
    parser.add_argument("--topology", default="v5e:1x1", help="slice of one chip")
    parser.add_argument("--batch", type=int, default=128, help="images")
    args = parser.parse_args()
    jax.config.update("jax_platforms", "cpu")
    mesh = sharding.make_mesh(slices.slice_of(args.topology).devices)
    if mesh.size != 1:
        parser.error(f"--topology: expected one chip, such as v5e:1x1, found {args.topology}")
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    versions = {name: importlib.metadata.version(name) for name in ("jax", "libtpu")}
    if results.get("versions") != versions:
        results = {"versions": versions}
    rows = [
        [
            "program",
            "dtype",
            "temporaries, GiB",
            "accesses, GB",
            "off the chip, GB",
            "arithmetic, TFLOP",
        ]
    ]
    for task in ("forward", "train"):
        for name, dtype in (
            ("big_vision", "float32"),
            ("ours", "float32"),
            ("ours", "bfloat16"),
        ):
            key = f"{args.topology} {args.batch} {task} {name} {dtype}"
            lowered = (
                ours(task, dtype, args.batch, mesh)
                if name == "ours"
                else big_vision(task, args.batch, mesh, args.big_vision)
            )
            program = hashlib.sha256(lowered.as_text().encode()).hexdigest()
            if results.get(key, {}).get("program") != program:
                print(f"Compiling {key}.", file=sys.stderr)
                results[key] = {"program": program, **count(lowered)}
                files.write_json(RESULTS, results, indent=2)
            found = results[key]
            rows.append([
                f"{task}, {name}", dtype, f"{found['temporary_bytes'] / 2**30:.2f}",
                f"{found['traffic_bytes'] / 1e9:.1f}", f"{found['off_chip_bytes'] / 1e9:.1f}",
                f"{found['flops'] / 1e12:.2f}",
            ])  # fmt: skip
    print(text_table(rows, "<<>>>>"))


if __name__ == "__main__":
    main()
