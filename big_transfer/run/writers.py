"""TensorBoard files of a run, written by clu if TensorFlow is installed, else by tensorboardX."""

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
    """Opens a writer with the methods of clu's MetricWriter; only the first process writes.

    Args:
      folder: the workdir, where the event files are written; may be gs://….
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
    """The interface of clu's MetricWriter, written by tensorboardX; clu's writer needs TensorFlow.

    A tensorboardX thread writes the event files.
    """

    def __init__(self, folder: epath.PathLike | None):
        """Opens an event file in `folder`; with None, nothing is written."""
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
          ModuleNotFoundError: if moviepy is not installed; tensorboardX would drop the video silently.
        """
        importlib.import_module("moviepy")
        for name, value in videos.items():
            self._writer.add_video(name, np.asarray(value), step, dataformats="NTHWC")

    def write_audios(self, step: int, audios: Mapping[str, Any], *, sample_rate: int) -> None:
        """Writes sounds (N, samples, channels), floats in [-1, 1].

        Raises:
          ModuleNotFoundError: if soundfile is not installed.
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
        """Writes histograms of arrays, with `num_buckets[name]` bins (default 30)."""
        for name, value in arrays.items():
            bins = (num_buckets or {}).get(name) or 30
            values = np.asarray(value).ravel()
            self._writer.add_histogram(
                name, values, step, bins=np.histogram_bin_edges(values, bins)
            )

    def write_summaries(
        self, step: int, values: Mapping[str, Any], metadata: Mapping[str, Any] | None = None
    ) -> None:
        """Writes raw arrays, with SummaryMetadata for the TensorBoard plugin that reads them."""
        from tensorboard.util import tensor_util
        from tensorboardX import proto

        event_pb2: Any = importlib.import_module(f"{proto.__name__}.event_pb2")
        summary_pb2: Any = importlib.import_module(f"{proto.__name__}.summary_pb2")
        tensor_pb2: Any = importlib.import_module(f"{proto.__name__}.tensor_pb2")

        for name, value in values.items():
            encoded = tensor_util.make_tensor_proto(np.asarray(value)).SerializeToString()
            summary_value = summary_pb2.Summary.Value(
                tag=name, tensor=tensor_pb2.TensorProto.FromString(encoded)
            )
            if metadata is not None and name in metadata:
                summary_value.metadata.ParseFromString(metadata[name].SerializeToString())
            event = event_pb2.Event(summary=summary_pb2.Summary(value=[summary_value]))
            self._writer.file_writer.add_event(event, step)

    def write_hparams(self, hparams: Mapping[str, Any]) -> None:
        """Writes the settings of a run; values other than numbers and text are converted to text."""
        from tensorboardX.summary import hparams as summaries

        plain = {
            key: value if isinstance(value, (bool, int, float, str)) else str(value)
            for key, value in hparams.items()
        }
        for summary in summaries(plain, {}):
            self._writer.file_writer.add_summary(summary)

    def flush(self) -> None:
        """Writes pending events."""
        self._writer.flush()

    def close(self) -> None:
        """Writes pending events and closes the file."""
        self._writer.close()
