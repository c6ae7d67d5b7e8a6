"""A TensorBoard logger."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from rl.core.loggers.base import Logger
from rl.core.loggers.values import as_video, flatten
from rl.core.optional import optional

torch_tensorboard = optional("torch.utils.tensorboard", extra="rl-core[tensorboard]")
summary_pb2 = optional("tensorboard.compat.proto.summary_pb2", extra="rl-core[tensorboard]")
pillow = optional("PIL.Image", extra="rl-core[tensorboard]")

__all__ = ["TensorboardLogger"]


class TensorboardLogger(Logger):
    """Writes TensorBoard event files in `<log_dir>/<exp_name>`.

    Args:
        exp_name: the experiment's name.
        log_dir: the folder it is put in, `"tensorboard_logs"` by default.

    Raises:
        MissingDependencyError: tensorboard is not installed.

    Example:
        >>> import tempfile
        >>> logger = TensorboardLogger("run", tempfile.mkdtemp())
        >>> logger.log_scalar("loss", 0.5, step=10)
        >>> logger.close()
    """

    def __init__(self, exp_name: str, log_dir: str | None = None) -> None:
        super().__init__(exp_name, "tensorboard_logs" if log_dir is None else log_dir)
        self.folder = Path(self.log_dir) / exp_name
        self._writer = torch_tensorboard.SummaryWriter(log_dir=str(self.folder))
        self._videos: Any = None

    @property
    def experiment(self) -> Any:  # noqa: ANN401
        """The `SummaryWriter`."""
        return self._writer

    def _write_scalar(self, name: str, value: float, step: int) -> None:
        self._writer.add_scalar(name, value, global_step=step)

    def log_video(
        self, name: str, video: torch.Tensor, step: int | None = None, **kwargs: object
    ) -> None:
        """Log a video as an animated image; see `Logger.log_video`.

        Args:
            name: its name.
            video: uint8, `[T, C, H, W]` or `[1, T, C, H, W]`.
            step: the step.
            **kwargs: `fps`, 6 by default.
        """
        frames = as_video(name, video)
        images = [pillow.fromarray(frame) for frame in frames]
        buffer = io.BytesIO()
        duration_ms = 1000 / float(kwargs.get("fps", 6))  # type: ignore[arg-type]
        options = {"save_all": True, "append_images": images[1:], "loop": 0}
        images[0].save(buffer, format="GIF", duration=duration_ms, **options)
        # the writer's own `add_video` needs moviepy; the summary itself is an image
        image = summary_pb2.Summary.Image(
            height=frames.shape[1],
            width=frames.shape[2],
            colorspace=3,
            encoded_image_string=buffer.getvalue(),
        )
        value = summary_pb2.Summary.Value(tag=name, image=image)
        if self._videos is None:
            self._videos = torch_tensorboard.FileWriter(str(self.folder), filename_suffix=".videos")
        self._videos.add_summary(summary_pb2.Summary(value=[value]), self._step(name, step))

    def log_hparams(self, cfg: object) -> None:
        """Log settings, as the HPARAMS tab shows them."""
        plain = {
            name: value if isinstance(value, bool | int | float | str) else str(value)
            for name, value in flatten(cfg, ".")
        }
        self._writer.add_hparams(plain, {}, run_name=".")

    def log_histogram(
        self,
        name: str,
        data: torch.Tensor | Sequence[float],
        step: int | None = None,
        **kwargs: object,
    ) -> None:
        """Log how values are distributed.

        Args:
            name: its name.
            data: the values, any shape.
            step: the step.
            **kwargs: `bins`, TensorBoard's own by default.
        """
        values = torch.as_tensor(data).detach().float().cpu()
        bins = kwargs.get("bins", "tensorflow")
        self._writer.add_histogram(name, values, global_step=self._step(name, step), bins=bins)

    def flush(self) -> None:
        """Write what is still in memory."""
        self._writer.flush()
        if self._videos is not None:
            self._videos.flush()

    def close(self) -> None:
        """Close the event files."""
        super().close()
        self._writer.close()
        if self._videos is not None:
            self._videos.close()
