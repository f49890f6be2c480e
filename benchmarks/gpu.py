"""One GPU: smoke test, exact resume, speed beside PyTorch, and reading JPEGs.

    pip install -c constraints.txt -e ".[gpu]"; pip install -r benchmarks/requirements.txt
    git clone https://github.com/google-research/big_transfer
    python benchmarks/gpu.py --big_transfer=big_transfer

Each speed is timed for some seconds; about ten minutes are expected, most for compilation (not measured:
no GPU was at hand). `--small` runs every part with a tiny model in a minute, on any machine. TensorFlow is
used only as a peer.
Each part runs in processes of its own, so that no part finds the GPU's memory taken.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import model_speed

from big_transfer.run import hardware

DETERMINISTIC = "--xla_gpu_deterministic_ops=true"  # as in the README
BATCHES = (64, 128, 256, 512, 1024)
SECONDS = 6.0  # each batch size is timed for this long


# ---- smoke test and exact resume ---------------------------------------------------------------


def make_images(folder: pathlib.Path, number: int) -> None:
    """Writes JPEGs of 500×375 pixels in two class folders, as large as ImageNet's."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for index in range(number):
        path = folder / "train" / f"class_{index % 2}" / f"{index}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = rng.integers(0, 255, (12, 16, 3)).astype(np.uint8)
        Image.fromarray(coarse).resize((500, 375)).save(path, quality=90)


def command(images: pathlib.Path, workdir: pathlib.Path, small: bool) -> list[str]:
    fields = {
        "total_steps": 24, "eval_every_steps": 100, "checkpoint_every_steps": 6, "export_npz": "model.npz",
        "input.batch_size": 16, "input.size": 64 if small else 224, "input.resize_to": 80 if small else 256,
        "eval.batch_size": 16, "optimizer.warmup_steps": 4, "mixup_alpha": 0.1,
        "model.dtype": "bfloat16", "log_every_steps": 6,
    }  # fmt: skip
    if small:
        fields |= {"model.depth": "None", "model.units": "(1,1)", "model.width": 0.5}
    return [
        sys.executable, str(ROOT / "main.py"), f"--workdir={workdir}",
        f"--config=configs/bit_transfer.py:dataset={images},model=R50x1",
        *(f"--config.{name}={value}" for name, value in fields.items()),
    ]  # fmt: skip


def run(arguments: list[str], kill_at: str | None = None) -> str:
    """Runs main.py with deterministic operations; kills it when a line of its output contains `kill_at`."""
    environment = dict(os.environ)
    if hardware.has_accelerator():
        environment["XLA_FLAGS"] = f"{environment.get('XLA_FLAGS', '')} {DETERMINISTIC}".strip()
    process = subprocess.Popen(
        arguments, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )  # fmt: skip
    output = ""
    assert process.stdout is not None
    for line in process.stdout:
        output += line
        if kill_at is not None and kill_at in line:
            process.send_signal(signal.SIGKILL)
    if process.wait() and kill_at is None:
        sys.exit(f"main.py failed:\n{output}")
    return output


def smoke_and_resume(small: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        make_images(folder / "images", 64)
        output = run(command(folder / "images", folder / "whole", small))
        print(
            f"smoke test: trained and evaluated on{output.partition('device(s):')[2].splitlines()[0]}"
        )
        killed = run(command(folder / "images", folder / "killed", small), kill_at="step 18/24")
        assert "step 24/24" not in killed, "the run ended before it could be killed"
        resumed = run(command(folder / "images", folder / "killed", small))
        assert "Resuming from" in resumed, resumed
        for file in ("model.npz", "predictions.npz"):
            with np.load(folder / "whole" / file) as a, np.load(folder / "killed" / file) as b:
                differing = [key for key in a.files if a[key].tobytes() != b[key].tobytes()]
            verdict = "bit-identical" if not differing else f"DIFFERENT: {', '.join(differing[:5])}"
            print(f"killed at step 18 and resumed: {file} is {verdict}")


# ---- speed beside PyTorch ----------------------------------------------------------------------


def ours(task: str, batch: int, small: bool):
    import jax

    from big_transfer import config as config_lib
    from big_transfer import resnet, training
    from big_transfer.config import completion, known_datasets
    from big_transfer.evaluation.evaluator import make_eval_step
    from big_transfer.run import sharding
    from configs import bit_s_imagenet2012

    config = bit_s_imagenet2012.get_config()
    if small:
        config.model.depth, config.model.units, config.model.width = None, (1, 1), 0.5
        config.input.size = config.eval.size = 64
    config.input.batch_size = batch
    size = known_datasets.size_of("imagenet2012", "train")
    complete = completion.plan_training(config_lib.check(config), size)
    mesh, model = sharding.make_mesh(), complete.make_model()
    tx = training.make_optimizer(complete, lambda step: 1e-3)
    params = resnet.init_params(model, jax.random.key(0))
    images = np.zeros((batch, complete.input.size, complete.input.size, 3), np.float32)
    local = {"image": images, "labels": np.zeros((batch, 1), np.int32)}
    if task == "inference":
        local["mask"] = np.ones(batch, bool)
        placed = sharding.put_batch(mesh, local)
        step = make_eval_step(model, loss="softmax", mesh=mesh)
        standardized = jax.jit(lambda p: resnet.standardize_kernels(p, model.dtype))(params)
        return lambda: jax.block_until_ready(step(standardized, placed))
    placed = sharding.put_batch(mesh, local)
    state = training.init_state(params, tx)
    shardings = sharding.state_shardings(state, mesh, "replicated")
    holder = [jax.device_put(state, shardings)]
    step = training.make_train_step(
        model, tx, loss="softmax", mixup_alpha=0.0, accumulate_steps=1, seed=0, mesh=mesh,
        state_shardings=shardings,
    )  # fmt: skip

    def train() -> None:
        holder[0], metrics = step(holder[0], placed)
        jax.block_until_ready(metrics)

    return train


def pytorch(task: str, batch: int, small: bool, path: str):
    """Google's PyTorch model, compiled, channels last, in bfloat16 by autocast.

    Its inference standardizes the kernels in every batch; ours does so once.
    """
    import torch

    torch.backends.cudnn.benchmark = True
    module = model_speed.pytorch_release(path)
    size = 64 if small else 224
    device = "cuda" if torch.cuda.is_available() else "cpu"
    units = [1, 1, 1, 1] if small else [3, 4, 6, 3]
    net = module.ResNetV2(units, 1, head_size=1000).to(device, memory_format=torch.channels_last)
    net = net if small else torch.compile(net)
    x = torch.zeros((batch, 3, size, size), device=device)
    x = x.to(memory_format=torch.channels_last)
    y = torch.zeros(batch, dtype=torch.long, device=device)
    sgd = torch.optim.SGD(net.parameters(), 1e-3, momentum=0.9)

    def once() -> None:
        with (
            torch.autocast(device, dtype=torch.bfloat16),
            torch.set_grad_enabled(task == "training"),
        ):
            logits = net(x)
        if task == "training":
            sgd.zero_grad()
            torch.nn.functional.cross_entropy(logits.float(), y).backward()
            sgd.step()
        if device == "cuda":
            torch.cuda.synchronize()

    return once


def time_one(arguments: argparse.Namespace) -> None:
    """Runs in a process of its own: prints images per second of one contestant at one batch size."""
    name, task, batch = arguments.contestant.split(",")
    if name == "ours":
        once = ours(task, int(batch), arguments.small)
    else:
        once = pytorch(task, int(batch), arguments.small, arguments.big_transfer)
    for _ in range(3):
        once()
    begun, calls = time.perf_counter(), 0
    while time.perf_counter() - begun < (0.5 if arguments.small else SECONDS):
        once()
        calls += 1
    print(f"images/s {int(batch) * calls / (time.perf_counter() - begun)}")


def child(contestant: str, arguments: argparse.Namespace) -> list[str]:
    """Command that runs one contestant in a process of its own."""
    small = ["--small"] if arguments.small else []
    return [
        sys.executable, __file__, f"--contestant={contestant}",
        f"--big_transfer={arguments.big_transfer}", *small,
    ]  # fmt: skip


def speed(arguments: argparse.Namespace) -> None:
    """Training and inference at the best batch size of each; a size that does not fit ends the search."""
    for task in ("training", "inference"):
        best = {}
        for name in ("ours", "PyTorch"):
            for batch in (8, 16) if arguments.small else BATCHES:
                found = subprocess.run(
                    child(f"{name},{task},{batch}", arguments), capture_output=True, text=True
                )
                if found.returncode:
                    reason = (found.stderr.strip().splitlines() or ["no message"])[-1]
                    print(f"{task}, {name}: a batch of {batch} fails ({reason[:100]})")
                    break
                rate = float(found.stdout.rpartition("images/s ")[2])
                best[name] = max(best.get(name, (0.0, 0)), (rate, batch))
        for name, (rate, batch) in best.items():
            print(f"{task}, {name}: {rate:,.0f} images/s at a batch of {batch}")
        if len(best) == 2:
            print(
                f"{task}: ours is {best['ours'][0] / best['PyTorch'][0]:.2f} times as fast (aim: 1.3)"
            )


# ---- reading JPEGs -----------------------------------------------------------------------------


def host(small: bool) -> None:
    """JPEGs to batches on all cores, ours and tf.data, in turns."""
    from big_transfer import datasets
    from big_transfer.datasets import image_files

    cores, rounds = os.cpu_count() or 1, 1 if small else 3
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        number = 64 if small else 2_048
        make_images(folder, number)
        rates: dict[str, list[float]] = {"ours": []}
        for _ in range(rounds):
            source = image_files.ImageFiles(str(folder), "train")
            batches = datasets.train_batches(
                source, lambda local: local, label_key="label", batch_size=32, max_labels=1, seed=0,
                steps=range(4 * number // 32), crop="inception", size=224, resize_to=None, flip=True,
                num_threads=cores, num_workers=0,
            )  # fmt: skip
            begun = time.perf_counter()
            count = sum(len(batch["image"]) for batch in batches)
            rates["ours"].append(count / (time.perf_counter() - begun))
            if importlib.util.find_spec("tensorflow") is not None:
                rates.setdefault("tf.data", []).append(tf_data_rate(folder, number))
        for reader, found in rates.items():
            print(f"JPEGs to batches, {reader}: {np.median(found):,.0f} images/s on {cores} cores")
        if "tf.data" not in rates:
            print("TensorFlow is not installed; tf.data was not measured.")


def tf_data_rate(folder: pathlib.Path, number: int) -> float:
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")

    def decode(path):
        encoded = tf.io.read_file(path)
        begin, size, _ = tf.image.sample_distorted_bounding_box(
            tf.image.extract_jpeg_shape(encoded), tf.zeros((1, 0, 4)), area_range=(0.05, 1.0),
            min_object_covered=0, use_image_if_no_bounding_boxes=True,
        )  # fmt: skip
        window = tf.concat([begin[:2], size[:2]], 0)
        image = tf.image.decode_and_crop_jpeg(encoded, window, channels=3)
        image = tf.image.random_flip_left_right(tf.image.resize(image, (224, 224)))
        return image / 127.5 - 1

    paths = [str(path) for path in folder.rglob("*.jpg")]
    images = tf.data.Dataset.from_tensor_slices(paths).repeat(4)
    images = images.map(decode, num_parallel_calls=tf.data.AUTOTUNE).batch(32)
    begun = time.perf_counter()
    count = sum(int(batch.shape[0]) for batch in images.prefetch(tf.data.AUTOTUNE))
    assert count == 4 * number
    return count / (time.perf_counter() - begun)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--big_transfer", help="checkout of google-research/big_transfer")
    parser.add_argument("--small", action="store_true", help="a tiny model, on any machine")
    parser.add_argument("--contestant", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contestant == "host":
        host(arguments.small)
        return
    if arguments.contestant:
        time_one(arguments)
        return
    smoke_and_resume(arguments.small)
    # Reading images needs no GPU.
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    subprocess.run(child("host", arguments), env=environment, check=True)
    if arguments.big_transfer is None:
        print(
            "PyTorch's model is in big_transfer: give --big_transfer=CHECKOUT to measure the speed."
        )
    else:
        speed(arguments)


if __name__ == "__main__":
    main()
