"""Speed from JPEG files to predictions, and of the input pipeline: this project, PyTorch and tf.data.

    pip install -r benchmarks/requirements.txt
    git clone https://github.com/google-research/big_transfer
    python benchmarks/evaluation_speed.py --big_transfer=big_transfer

The program makes the files: 500×375 pixels, with the spectrum of photographs, about 110 KB each, like
ILSVRC-2012's.

*input*: from files to batches of float images. The peer is tf.data with `tf.io.decode_jpeg` and
`tf.image.resize`; for training `tf.image.sample_distorted_bounding_box` and
`tf.io.decode_and_crop_jpeg`; with AUTOTUNE. *evaluation*: from files to ranked classes, R50x1 with the
same random weights. The peer is the PyTorch release of BiT behind a DataLoader with a worker per
processor; Pillow decodes and resizes the images, as in the transforms of that release.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import pathlib
import platform
import statistics
import sys
import tempfile

import numpy as np
import race

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
THREADS = len(os.sched_getaffinity(0))
BATCH = 16
# task: (images per call, image size in pixels)
TASKS = {
    "input, evaluation, 224 px": (480, 224),
    "input, evaluation, 480 px": (480, 480),
    "input, training (Inception crop), 224 px": (480, 224),
    "evaluation of R50x1, 224 px": (96, 224),
    "evaluation of R50x1, 480 px": (32, 480),
}


def photographs(folder: pathlib.Path, count: int) -> None:
    """Writes `count` JPEGs with the 1/f spectrum of photographs, named like ILSVRC-2012's validation set."""
    import cv2

    rng = np.random.default_rng(0)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(500), np.fft.fftfreq(375)))
    frequency[0, 0] = 1
    for i in range(1, count + 1):
        planes = [
            np.fft.ifft2(np.fft.fft2(rng.normal(size=(375, 500))) / frequency).real
            for _ in range(3)
        ]
        image = np.stack([planes[0] + 0.35 * plane for plane in planes], axis=-1)
        image = (image - image.mean()) / image.std() * 55 + 120
        image = np.clip(image, 0, 255).astype(np.uint8)
        path = folder / f"ILSVRC2012_val_{i:08d}.JPEG"
        cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, 90])


# ---- contestants: each returns a function that processes all images once -------------------------


def our_input(task: str, args):
    from big_transfer import datasets
    from big_transfer.run import memory

    memory.keep_freed_memory()  # as main.py does on a CPU
    _, size = TASKS[task]
    source = datasets.open_source(args.images, "validation", ["original_label"])
    common = dict(
        label_key="original_label",
        batch_size=BATCH,
        max_labels=1,
        size=size,
        num_threads=datasets.default_threads(),
        num_workers=0,
    )

    def evaluation():
        return sum(1 for _ in datasets.eval_batches(source, lambda x: x, **common))

    def training():
        steps = range(len(source) // BATCH)
        batches = datasets.train_batches(
            source,
            lambda x: x,
            steps=steps,
            seed=0,
            crop="inception",
            resize_to=None,
            flip=True,
            **common,
        )
        return sum(1 for _ in batches)

    return training if "training" in task else evaluation


def tf_data(task: str, args):
    import tensorflow as tf

    _, size = TASKS[task]

    def scale(image):
        return (tf.image.resize(image, (size, size)) - 127.5) / 127.5

    def evaluation(path):
        return scale(tf.io.decode_jpeg(tf.io.read_file(path), channels=3))

    def training(path):
        encoded = tf.io.read_file(path)
        begin, extent, _ = tf.image.sample_distorted_bounding_box(
            tf.io.extract_jpeg_shape(encoded),
            tf.zeros([0, 0, 4], tf.float32),
            area_range=(0.05, 1),
            min_object_covered=0,
            use_image_if_no_bounding_boxes=True,
        )
        window = tf.concat([begin[:2], extent[:2]], axis=0)
        image = tf.io.decode_and_crop_jpeg(encoded, window, channels=3)
        return scale(tf.image.random_flip_left_right(image))

    paths = [str(path) for path in sorted(pathlib.Path(args.images).iterdir())]
    data = tf.data.Dataset.from_tensor_slices(paths)
    load = training if "training" in task else evaluation
    data = data.map(load, tf.data.AUTOTUNE).batch(BATCH).prefetch(tf.data.AUTOTUNE)
    return lambda: sum(1 for _ in data)


def our_evaluation(task: str, args):
    from big_transfer import checkpoint, config
    from big_transfer.evaluation.evaluator import Evaluator
    from big_transfer.run import memory, sharding
    from configs import bit_evaluate

    memory.keep_freed_memory()
    _, size = TASKS[task]
    fields = bit_evaluate.get_config("R50x1")
    fields.eval.dataset, fields.eval.size, fields.eval.batch_size = args.images, size, BATCH
    fields.eval.real_key = ""
    complete = config.completed(config.check(fields, training=False), config.EvaluationConfig)
    model = complete.make_model()
    evaluator = Evaluator(complete, model, sharding.make_mesh())
    params = checkpoint.load_npz(args.npz, model)
    return lambda: evaluator.run(params)


def pytorch(task: str, args, channels_last: bool = False):
    import torch
    from PIL import Image

    _, size = TASKS[task]
    path = pathlib.Path(args.big_transfer) / "bit_pytorch" / "models.py"
    spec = importlib.util.spec_from_file_location("bit_pytorch_models", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    net = module.ResNetV2([3, 4, 6, 3], 1, head_size=1000)
    with np.load(args.npz) as arrays:
        net.load_from(dict(arrays))
    layout = torch.channels_last if channels_last else torch.contiguous_format
    net = net.eval().to(memory_format=layout)
    paths = sorted(pathlib.Path(args.images).iterdir())

    class Files(torch.utils.data.Dataset):
        def __len__(self):
            return len(paths)

        def __getitem__(self, index):
            image = Image.open(paths[index]).convert("RGB").resize((size, size), Image.BILINEAR)
            return torch.from_numpy(np.array(image)).permute(2, 0, 1).float().sub(127.5).div(127.5)

    loader = torch.utils.data.DataLoader(
        Files(), BATCH, num_workers=THREADS, persistent_workers=True
    )

    def run():
        with torch.no_grad():
            return [net(x.contiguous(memory_format=layout)).topk(5) for x in loader]

    return run


INPUT = {"ours": our_input, "tf.data": tf_data}
EVALUATION = {
    "ours": our_evaluation,
    "PyTorch": pytorch,
    "PyTorch, channels last": lambda *a: pytorch(*a, channels_last=True),
}


def contestants_of(task: str) -> dict:
    return INPUT if task.startswith("input") else EVALUATION


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--big_transfer", help="checkout of google-research/big_transfer")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tasks", nargs="*", default=list(TASKS), choices=list(TASKS))
    for name in ("--contestant", "--task", "--npz", "--images"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.contestant:
        run = contestants_of(args.task)[args.contestant](args.task, args)
        race.serve(run, warm_up=1)
        return
    versions = {
        package: importlib.metadata.version(package)
        for package in ("jax", "torch", "tensorflow-cpu", "opencv-python-headless", "pillow")
    }
    print(f"{platform.processor() or platform.machine()}, {THREADS} cores, {versions}")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        import model_speed

        npz = folder / "R50x1.npz"
        model_speed.weights(model_speed.MODELS["R50x1"], str(npz))
        for task in args.tasks:
            count, _ = TASKS[task]
            images = folder / str(count)
            if not images.exists():
                images.mkdir()
                photographs(images, count)
                sizes = [path.stat().st_size for path in images.iterdir()]
                print(f"{count} files of {statistics.mean(sizes) / 1e3:.0f} KB")
            commands = {
                contestant: [
                    *(sys.executable, __file__, f"--contestant={contestant}", f"--task={task}"),
                    *(f"--npz={npz}", f"--images={images}", f"--big_transfer={args.big_transfer}"),
                ]
                for contestant in contestants_of(task)
                if contestant in ("ours", "tf.data") or args.big_transfer
            }
            seconds = race.hold(commands, args.rounds)
            print(f"\n### {task}\n\n| | images/s | ours is faster by |\n| --- | --- | --- |")
            for contestant, times in seconds.items():
                ratio = race.faster(seconds, "ours", contestant)
                speed = count / statistics.median(times)
                print(f"| {contestant} | {speed:.1f} | {ratio:.2f}× |", flush=True)


if __name__ == "__main__":
    main()
