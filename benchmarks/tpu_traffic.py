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

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import jax
import jax.numpy as jnp
import model_speed
import optax

from big_transfer import config as config_lib
from big_transfer.compilation import measuring, programs, slices
from big_transfer.config import completion, known_datasets
from big_transfer.run import sharding
from configs import bit_s_imagenet2012
from real_labels import files
from real_labels.files.text_table import text_table

COUNTS = ("temporary_bytes", "traffic_bytes", "off_chip_bytes", "flops")
RESULTS = ROOT / "benchmarks" / "results" / "tpu_traffic.json"


def ours(task: str, dtype: str, batch: int, mesh):
    config = bit_s_imagenet2012.get_config()
    config.model.dtype = dtype
    config.input.batch_size = config.eval.batch_size = batch
    size = known_datasets.size_of("imagenet2012", "train")
    complete = completion.plan_training(config_lib.check(config), size)
    make = programs.training_program if task == "train" else programs.evaluation_program
    return make(complete, mesh)


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
        forward = jax.jit(lambda p, x: net.apply({"params": p}, x)[0])
        return programs.Program(forward.lower(shaped(params), images), 1, batch, 1, {}, {})
    tx = optax.sgd(1e-3, momentum=0.9)
    state = shaped(jax.eval_shape(tx.init, params))
    train = model_speed.big_vision_step(net, tx)
    return programs.Program(train.lower(shaped(params), state, images, labels), 1, batch, 1, {}, {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--big_vision", required=True, help="checkout of big_vision")
    parser.add_argument("--topology", default="v5e:1x1", help="slice of one chip")
    parser.add_argument("--batch", type=int, default=128, help="images")
    args = parser.parse_args()
    jax.config.update("jax_platforms", "cpu")
    place = slices.slice_of(args.topology)
    mesh, chip = sharding.make_mesh(place.devices), place.chip
    if mesh.size != 1:
        parser.error(f"--topology: expected one chip, such as v5e:1x1, found {args.topology}")
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    versions = {name: importlib.metadata.version(name) for name in ("jax", "libtpu")}
    if results.get("versions") != versions:
        results = {"versions": versions}
    columns = "program", "dtype", "temporaries, GiB", "accesses, GB", "off the chip, GB", "TFLOP"
    rows = [list(columns)]
    for task in ("forward", "train"):
        for name, dtype in (
            ("big_vision", "float32"),
            ("ours", "float32"),
            ("ours", "bfloat16"),
        ):
            key = f"{args.topology} {args.batch} {task} {name} {dtype}"
            program = (
                ours(task, dtype, args.batch, mesh)
                if name == "ours"
                else big_vision(task, args.batch, mesh, args.big_vision)
            )
            identity = hashlib.sha256(program.lowered.as_text().encode()).hexdigest()
            if results.get(key, {}).get("program") != identity:
                print(f"Compiling {key}.", file=sys.stderr)
                needs = measuring.compiled(program, chip.usable).as_json()
                results[key] = {"program": identity, **{name: needs[name] for name in COUNTS}}
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
