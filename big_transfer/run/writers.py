"""TensorBoard files of a run: by clu where TensorFlow is installed, else by tensorboardX."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
from etils import epath


@contextlib.contextmanager
def make_writer(folder: epath.PathLike) -> Iterator[Any]:
    """A writer with the methods of clu's MetricWriter; only the first process writes.

    Args:
      folder: the workdir, which receives the event files; may be gs://….
    """
    if importlib.util.find_spec("tensorflow") is not None:
        writer = _clu_writer(folder)
    else:
        writer = TensorBoardXWriter(folder if jax.process_index() == 0 else None)
    try:
        yield writer
    finally:
        writer.close()


def _clu_writer(folder: epath.PathLike) -> Any:
    # TensorFlow takes seconds to import and would take the accelerator's memory.
    import tensorflow as tf
    from clu import metric_writers

    tf.config.set_visible_devices([], "GPU")
    return metric_writers.create_default_writer(
        str(folder), just_logging=jax.process_index() > 0, asynchronous=True
    )


class TensorBoardXWriter:
    """clu's MetricWriter over tensorboardX: clu's own cannot be imported without TensorFlow.

    Event files are written by a thread of tensorboardX.
    """

    def __init__(self, folder: epath.PathLike | None):
        """Opens an event file in `folder`; None writes nothing."""
        import tensorboardX

        self._writer: Any = tensorboardX.SummaryWriter(
            None if folder is None else str(folder), write_to_disk=folder is not None
        )

    def write_scalars(self, step: int, scalars: Mapping[str, Any]) -> None:
        """Writes numbers under their names."""
        for name, value in scalars.items():
            self._writer.add_scalar(name, float(value), step)

    def write_images(self, step: int, images: Mapping[str, Any]) -> None:
        """Writes images (N, height, width, channels), uint8 or floats in [0, 1]."""
        for name, value in images.items():
            self._writer.add_images(name, np.asarray(value), step, dataformats="NHWC")

    def write_videos(self, step: int, videos: Mapping[str, Any]) -> None:
        """Writes videos (N, time, height, width, channels), uint8 or floats in [0, 1].

        Raises:
          ModuleNotFoundError: without moviepy, where tensorboardX would leave the video out.
        """
        importlib.import_module("moviepy")
        for name, value in videos.items():
            self._writer.add_video(name, np.asarray(value), step, dataformats="NTHWC")

    def write_audios(self, step: int, audios: Mapping[str, Any], *, sample_rate: int) -> None:
        """Writes sounds (N, samples, channels), floats in [-1, 1].

        Raises:
          ModuleNotFoundError: without soundfile.
        """
        for name, value in audios.items():
            for i, sound in enumerate(np.asarray(value)):
                self._writer.add_audio(f"{name}/{i}", sound, step, sample_rate)

    def write_texts(self, step: int, texts: Mapping[str, str]) -> None:
        """Writes texts in Markdown."""
        for name, value in texts.items():
            self._writer.add_text(name, value, step)

    def write_histograms(
        self, step: int, arrays: Mapping[str, Any], num_buckets: Mapping[str, int] | None = None
    ) -> None:
        """Writes histograms of arrays, in `num_buckets[name]` bins (30 where that is not given)."""
        for name, value in arrays.items():
            bins = (num_buckets or {}).get(name) or 30
            values = np.asarray(value).ravel()
            self._writer.add_histogram(
                name, values, step, bins=np.histogram_bin_edges(values, bins)
            )

    def write_summaries(
        self, step: int, values: Mapping[str, Any], metadata: Mapping[str, Any] | None = None
    ) -> None:
        """Writes arrays as they are, with SummaryMetadata for the TensorBoard plugin that reads them."""
        from tensorboard.util import tensor_util
        from tensorboardX import proto

        event_pb2: Any = importlib.import_module(f"{proto.__name__}.event_pb2")
        summary_pb2: Any = importlib.import_module(f"{proto.__name__}.summary_pb2")
        tensor_pb2: Any = importlib.import_module(f"{proto.__name__}.tensor_pb2")

        for name, value in values.items():
            encoded = tensor_util.make_tensor_proto(np.asarray(value)).SerializeToString()
            one = summary_pb2.Summary.Value(
                tag=name, tensor=tensor_pb2.TensorProto.FromString(encoded)
            )
            if metadata is not None and name in metadata:
                one.metadata.ParseFromString(metadata[name].SerializeToString())
            event = event_pb2.Event(summary=summary_pb2.Summary(value=[one]))
            self._writer.file_writer.add_event(event, step)

    def write_hparams(self, hparams: Mapping[str, Any]) -> None:
        """Writes the settings of a run; those that are neither numbers nor texts as text."""
        from tensorboardX.summary import hparams as summaries

        plain = {
            key: value if isinstance(value, (bool, int, float, str)) else str(value)
            for key, value in hparams.items()
        }
        for summary in summaries(plain, {}):
            self._writer.file_writer.add_summary(summary)

    def flush(self) -> None:
        """Writes what is waiting."""
        self._writer.flush()

    def close(self) -> None:
        """Writes what is waiting, and ends."""
        self._writer.close()
