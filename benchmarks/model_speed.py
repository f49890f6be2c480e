"""Speed of BiT's forward pass and training step: this project, big_vision and PyTorch, in one run.

    pip install -r benchmarks/requirements.txt
    git clone https://github.com/google-research/big_vision
    git clone https://github.com/google-research/big_transfer
    python benchmarks/model_speed.py --big_vision=big_vision --big_transfer=big_transfer

Each contestant runs in its own process, with the same weights and images (see race.py). The table also
compares the logits of every contestant with ours.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import pathlib
import platform
import statistics
import sys
import tempfile

import numpy as np
import race

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODELS = {
    "R50x1": dict(depth=(3, 4, 6, 3), width=1, classes=1000, size=224, batch=16),
    "demo": dict(depth=(1, 1, 1, 1), width=0.5, classes=10, size=64, batch=64),
}
TASKS = ("forward", "train")
CONTESTANTS = (
    "ours",
    "big_vision",
    "big_vision, our allocation",
    "PyTorch",
    "PyTorch, channels last",
)


def images_and_labels(model: dict) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    shape = (model["batch"], model["size"], model["size"], 3)
    labels = rng.integers(0, model["classes"], model["batch"]).astype(np.int32)
    return rng.uniform(-1, 1, shape).astype(np.float32), labels


# ---- contestants: each returns (logits, forward, train); forward and train take no arguments -------


def ours(model: dict, npz: str, args):
    sys.path.insert(0, str(ROOT))
    import jax

    from big_transfer import checkpoint, resnet, training
    from big_transfer.run import memory, sharding
    from big_transfer.training import optimizer

    memory.keep_freed_memory()
    net = resnet.ResNetV2(model["depth"], model["width"], model["classes"])
    params = jax.device_put(checkpoint.load_npz(npz, net))
    images, labels = images_and_labels(model)
    mesh = sharding.make_mesh()
    batch = sharding.put_batch(mesh, {"image": images, "labels": labels[:, None]})
    inference_net = net.clone(standardized=True)
    standardized = jax.jit(resnet.standardize_kernels)(params)
    forward = jax.jit(lambda p, x: inference_net.apply({"params": p}, x))
    tx = optimizer.make_optimizer(lambda _: 1e-3, momentum=0.9, weight_decay=0.0, clip_norm=None)
    state = training.init_state(params, tx)
    shardings = sharding.state_shardings(state, mesh, "replicated")
    state = [jax.device_put(state, shardings)]
    step = training.make_train_step(
        net,
        tx,
        loss="softmax",
        mixup_alpha=0.0,
        accumulate_steps=1,
        seed=0,
        mesh=mesh,
        state_shardings=shardings,
    )

    def train_once():
        state[0], metrics = step(state[0], batch)
        jax.block_until_ready(metrics)

    def forward_once():
        return jax.block_until_ready(forward(standardized, batch["image"]))

    return np.asarray(forward_once()), forward_once, train_once


def big_vision_step(net, tx):
    """A training step of a model of big_vision: (parameters, optimizer, images, labels) -> the same, loss."""
    import jax
    import optax

    def step(p, opt, images, labels):
        def loss(p):
            logits, _ = net.apply({"params": p}, images)
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

        value, gradient = jax.value_and_grad(loss)(p)
        updates, opt = tx.update(gradient, opt, p)
        return optax.apply_updates(p, updates), opt, value

    return jax.jit(step, donate_argnums=(0, 1))


def big_vision(model: dict, npz: str, args, keep_memory: bool = False):
    sys.path[:0] = [str(ROOT), args.big_vision]
    import jax
    import jax.numpy as jnp
    import optax
    from big_vision.models import bit_paper

    if keep_memory:
        from big_transfer.run import memory

        memory.keep_freed_memory()
    net = bit_paper.Model(model["classes"], model["width"], model["depth"])
    with np.load(npz) as arrays:
        nested = {}
        for name, array in arrays.items():
            *parents, last = name.split("/")
            section = nested
            for parent in parents:
                section = section.setdefault(parent, {})
            section[last] = array
    params = jax.tree.map(jnp.asarray, bit_paper.maybe_convert_big_transfer_format(nested))
    images, labels = (jnp.asarray(a) for a in images_and_labels(model))
    forward = jax.jit(lambda p, x: net.apply({"params": p}, x)[0])
    tx = optax.sgd(1e-3, momentum=0.9)
    step = big_vision_step(net, tx)
    state = [jax.tree.map(jnp.copy, params), tx.init(params)]

    def train_once():
        *state[:], value = step(*state, images, labels)
        jax.block_until_ready(value)

    def forward_once():
        return jax.block_until_ready(forward(params, images))

    return np.asarray(forward_once()), forward_once, train_once


class _Half:
    """Width factor 0.5 for PyTorch's release.

    The release accepts only whole width factors, and only multiplies numbers of channels by the factor.
    """

    def __rmul__(self, channels: int) -> int:
        return channels // 2


def pytorch_release(checkout: str):
    """The module with the models of google-research/big_transfer's PyTorch code."""
    path = pathlib.Path(checkout) / "bit_pytorch" / "models.py"
    spec = importlib.util.spec_from_file_location("bit_pytorch_models", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pytorch(model: dict, npz: str, args, channels_last: bool = False):
    import torch

    module = pytorch_release(args.big_transfer)
    width = _Half() if model["width"] == 0.5 else model["width"]
    net = module.ResNetV2(list(model["depth"]), width, head_size=model["classes"])
    with np.load(npz) as arrays:
        net.load_from(dict(arrays))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    layout = torch.channels_last if channels_last else torch.contiguous_format
    net = net.to(device=device, memory_format=layout)
    images, labels = images_and_labels(model)
    x = torch.from_numpy(images).permute(0, 3, 1, 2).to(device).contiguous(memory_format=layout)
    y = torch.from_numpy(labels).long().to(device)
    sgd = torch.optim.SGD(net.parameters(), 1e-3, momentum=0.9)

    def finish():
        if device == "cuda":
            torch.cuda.synchronize()

    def train_once():
        sgd.zero_grad()
        torch.nn.functional.cross_entropy(net(x), y).backward()
        sgd.step()
        finish()

    def forward_once():
        with torch.no_grad():
            logits = net(x)
        finish()
        return logits

    return forward_once().cpu().numpy(), forward_once, train_once


BUILD = {
    "ours": ours,
    "big_vision": big_vision,
    "big_vision, our allocation": lambda *a: big_vision(*a, keep_memory=True),
    "PyTorch": pytorch,
    "PyTorch, channels last": lambda *a: pytorch(*a, channels_last=True),
}


def worker(args) -> None:
    """Builds a contestant, saves its logits, then times one call per line of input."""
    logits, forward, train = BUILD[args.contestant](MODELS[args.model], args.npz, args)
    np.save(args.logits, logits)
    race.serve({"forward": forward, "train": train}[args.task])


# ---- the race -----------------------------------------------------------------------------------


def weights(model: dict, path: str) -> None:
    """Writes random weights in the public layout.

    The head is random, too, because the logits of a zero head would not tell the contestants apart.
    """
    sys.path.insert(0, str(ROOT))
    import jax

    from big_transfer import checkpoint, resnet

    net = resnet.ResNetV2(model["depth"], model["width"], model["classes"])
    rng = np.random.default_rng(1)
    shapes = jax.eval_shape(lambda: resnet.init_params(net, jax.random.key(0)))

    def draw(path, s):
        centre = 1.0 if path[-1].key == "gamma" else 0.0
        return (centre + 0.1 * rng.standard_normal(s.shape)).astype(np.float32)

    checkpoint.save_npz(path, jax.tree_util.tree_map_with_path(draw, shapes))


def compare(name: str, task: str, contestants: list[str], args, folder: pathlib.Path) -> None:
    model = MODELS[name]
    npz = folder / f"{name}.npz"
    if not npz.exists():
        weights(model, str(npz))
    commands = {}
    for contestant in contestants:
        logits_path = folder / f"{contestant}.npy"
        command = [sys.executable, __file__, "--worker", f"--contestant={contestant}"]
        command += [f"--model={name}", f"--task={task}", f"--npz={npz}", f"--logits={logits_path}"]
        command += [f"--big_vision={args.big_vision}", f"--big_transfer={args.big_transfer}"]
        commands[contestant] = command
    seconds = race.hold(commands, args.rounds)
    reference = np.load(folder / "ours.npy")
    print(f"\n### {name}, {model['size']} px, batch {model['batch']}, {task}\n")
    print(
        "| | images/s | ours is faster by | logits differ by (relative) |\n| --- | --- | --- | --- |"
    )
    for contestant in contestants:
        speed = model["batch"] / statistics.median(seconds[contestant])
        ratio = race.faster(seconds, "ours", contestant)
        logits = np.load(folder / f"{contestant}.npy")
        error = np.linalg.norm(logits - reference) / np.linalg.norm(reference)
        print(f"| {contestant} | {speed:.1f} | {ratio:.2f}× | {error:.1e} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--big_vision", help="checkout of google-research/big_vision")
    parser.add_argument("--big_transfer", help="checkout of google-research/big_transfer")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--models", nargs="*", default=list(MODELS), choices=list(MODELS))
    for name in ("--contestant", "--model", "--task", "--npz", "--logits"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        worker(args)
        return
    contestants = [
        c
        for c in CONTESTANTS
        if c == "ours"
        or (args.big_vision not in (None, "None") and c.startswith("big_vision"))
        or (args.big_transfer not in (None, "None") and c.startswith("PyTorch"))
    ]
    versions = {
        package: importlib.metadata.version(package)
        for package in ("jax", "flax", "torch")
        if importlib.util.find_spec(package)
    }
    print(f"{platform.processor() or platform.machine()}, {versions}, {args.rounds} rounds")
    with tempfile.TemporaryDirectory() as folder:
        for name in args.models:
            for task in TASKS:
                compare(name, task, contestants, args, pathlib.Path(folder))


if __name__ == "__main__":
    main()
