"""A Trackio logger."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from tensordict import TensorDictBase

from rl.core.errors import RLError
from rl.core.loggers.base import Logger
from rl.core.loggers.values import histogram, numbers_of, plain
from rl.core.loggers.video import write_video
from rl.core.optional import optional

trackio = optional("trackio", extra="rl-core[trackio]")

__all__ = ["TrackioLogger"]


class TrackioLogger(Logger):
    """Writes a run of Trackio, on this machine unless told otherwise.

    Trackio keeps its data below the folder that the environment variable `TRACKIO_DIR` names;
    `trackio show` displays them.

    Args:
        exp_name: the run's name.
        project: the project.
        video_fps: frames per second of videos, which need PyAV.
        **kwargs: of `trackio.init`, such as `config`, `group`, `space_id`, `resume`.

    Raises:
        MissingDependencyError: trackio is not installed.

    Example:
        >>> logger = TrackioLogger("run", project="pendulum")  # doctest: +SKIP
        >>> logger.log_scalar("loss", 0.5, step=10)  # doctest: +SKIP
        >>> logger.close()  # doctest: +SKIP
    """

    def __init__(
        self,
        exp_name: str,
        project: str,
        *,
        video_fps: int = 32,
        **kwargs: Any,
    ) -> None:
        super().__init__(exp_name, project)
        self.project, self.video_fps = project, video_fps
        self._run = trackio.init(project=project, name=exp_name, **{"embed": False, **kwargs})
        self._has_logged = False

    @classmethod
    def in_folder(cls, exp_name: str, log_dir: str, **kwargs: Any) -> Self:
        """Return a logger of the project that is called as the folder."""
        return cls(exp_name, **{"project": os.path.basename(os.path.abspath(log_dir)), **kwargs})

    @classmethod
    def resume_arguments(cls, state_dict: Mapping[str, Any]) -> dict[str, Any]:
        """Return that the run of this name goes on."""
        del state_dict
        return {"resume": "allow"}

    @property
    def experiment(self) -> Any:  # noqa: ANN401
        """The `trackio.Run`."""
        return self._run

    def _write_scalar(self, name: str, value: float, step: int) -> None:
        self._log({name: value}, step)

    def log_metrics(
        self,
        metrics: Mapping[str, Any] | TensorDictBase,
        step: int | None = None,
        *,
        keys_sep: str = "/",
    ) -> dict[str, float]:
        """Log every number of a nested dict or TensorDict; see `Logger.log_metrics`.

        Numbers of one step make one record.
        """
        numbers = numbers_of(metrics, keys_sep)
        for taken, record in self._by_step(numbers, step).items():
            self._log(record, taken)
        return numbers

    def log_video(
        self, name: str, video: torch.Tensor, step: int | None = None, **kwargs: object
    ) -> None:
        """Log a video as mp4; see `Logger.log_video`.

        Args:
            name: its name.
            video: uint8, `[T, C, H, W]` or `[1, T, C, H, W]`.
            step: the step.
            **kwargs: `fps` overrides the logger's.
        """
        fps = int(kwargs.get("fps", self.video_fps))  # type: ignore[call-overload]
        with tempfile.TemporaryDirectory() as folder:
            # trackio's own encoder needs ffmpeg
            path = os.path.join(folder, "video.mp4")
            write_video(path, video, fps=fps)
            self._log({name: trackio.Video(path)}, self._step(name, step))

    def log_hparams(self, cfg: object) -> None:
        """Put settings into the run's configuration.

        Raises:
            RLError: something was logged before: Trackio stores settings with the first record.
        """
        if self._has_logged:
            raise RLError(
                "Trackio stores settings with the first record, and there is one: call "
                "`log_hparams` before any other `log_*`, or pass `config=`."
            )
        self._run.config.update(plain(cfg))

    def log_histogram(
        self,
        name: str,
        data: torch.Tensor | Sequence[float],
        step: int | None = None,
        **kwargs: object,
    ) -> None:
        """Log the counts of equal bins between the least and the greatest value.

        Args:
            name: its name.
            data: the values, any shape.
            step: the step.
            **kwargs: `bins`, 30 by default.
        """
        bins = histogram(data, bins=kwargs.get("bins", 30))  # type: ignore[arg-type]
        self._log({name: trackio.Histogram(np_histogram=bins)}, self._step(name, step))

    def close(self) -> None:
        """Finish the run."""
        if self._is_open:
            self._run.finish()
        super().close()

    def _log(self, record: dict[str, Any], step: int) -> None:
        self._has_logged = True
        self._run.log(record, step=step)
