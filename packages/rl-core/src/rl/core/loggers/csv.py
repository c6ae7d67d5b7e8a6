"""A logger of plain files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

import torch

from rl.core.loggers.base import Logger
from rl.core.loggers.values import flatten, histogram
from rl.core.loggers.video import write_video

__all__ = ["CSVLogger"]

_FORMATS = ("npy", "mp4")


class CSVLogger(Logger):
    """Writes files below `<log_dir>/<exp_name>`.

    - `scalars/<name>.csv`: lines `step,value`.
    - `histograms/<name>.csv`: lines `step,low,high,count`, one per bin.
    - `videos/<name>_<step>.<video_format>`.
    - `texts/hparams<i>.txt`: lines `name: value`.

    Args:
        exp_name: the experiment's name.
        log_dir: the folder it is put in, `"csv_logs"` by default.
        video_format: `"npy"`, or `"mp4"` (PyAV).
        video_fps: frames per second of videos.

    Raises:
        ValueError: the video format is unknown.

    Example:
        >>> import tempfile
        >>> logger = CSVLogger("run", tempfile.mkdtemp())
        >>> logger.log_scalar("loss", 0.5, step=10)
        >>> (logger.folder / "scalars" / "loss.csv").read_text().strip()
        '10,0.5'
        >>> logger.close()
    """

    def __init__(
        self,
        exp_name: str,
        log_dir: str | None = None,
        video_format: str = "npy",
        video_fps: int = 30,
    ) -> None:
        super().__init__(exp_name, "csv_logs" if log_dir is None else log_dir)
        if video_format not in _FORMATS:
            raise ValueError(
                f"`video_format` is {video_format!r}, expected `npy` or `mp4`. "
                "`npy` is read back with `numpy.load` and maps into memory."
            )
        self.video_format = video_format
        self.video_fps = video_fps
        self.folder = Path(self.log_dir) / exp_name
        self.folder.mkdir(parents=True, exist_ok=True)
        self._files: dict[Path, TextIO] = {}

    def _write_scalar(self, name: str, value: float, step: int) -> None:
        self._file("scalars", name).write(f"{step},{value!r}\n")

    def log_video(
        self, name: str, video: torch.Tensor, step: int | None = None, **kwargs: object
    ) -> None:
        """Write a video as one file; see `Logger.log_video`.

        Args:
            name: its name.
            video: uint8, `[T, C, H, W]` or `[1, T, C, H, W]`.
            step: ends the file's name.
            **kwargs: `fps` overrides the logger's.
        """
        path = self._path("videos", f"{name}_{self._step(name, step)}.{self.video_format}")
        write_video(path, video, fps=int(kwargs.get("fps", self.video_fps)))  # type: ignore[call-overload]

    def log_hparams(self, cfg: object) -> None:
        """Write settings as lines `name: value`."""
        path = self._path("texts", f"hparams{self._step('hparams', None)}.txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{name}: {value}\n" for name, value in flatten(cfg, ".")))

    def log_histogram(
        self,
        name: str,
        data: torch.Tensor | Sequence[float],
        step: int | None = None,
        **kwargs: object,
    ) -> None:
        """Write the counts of equal bins between the least and the greatest value.

        Args:
            name: its name.
            data: the values, any shape.
            step: the step.
            **kwargs: `bins`, 30 by default.
        """
        counts, edges = histogram(data, bins=kwargs.get("bins", 30))  # type: ignore[arg-type]
        taken = self._step(name, step)
        file = self._file("histograms", name)
        for count, low, high in zip(counts, edges[:-1], edges[1:], strict=True):
            file.write(f"{taken},{low:.7g},{high:.7g},{count}\n")

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()
        self._files.clear()
        super().close()

    def _file(self, kind: str, name: str) -> TextIO:
        path = self._path(kind, f"{name}.csv")
        file = self._files.get(path)
        if file is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            # line buffering: a reader, or a kill, finds every line that was logged
            file = self._files[path] = open(path, "a", buffering=1)  # noqa: SIM115
        return file

    def _path(self, kind: str, name: str) -> Path:
        if ".." in Path(name).parts or Path(name).is_absolute():
            raise ValueError(f"`{name}` leaves the log folder. Names are relative, without `..`.")
        return self.folder / kind / name
