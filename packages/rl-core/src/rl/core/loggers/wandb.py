"""A Weights & Biases logger."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Self

import torch
from tensordict import TensorDictBase

from rl.core.loggers.base import Logger
from rl.core.loggers.values import histogram, numbers_of, plain
from rl.core.loggers.video import write_video
from rl.core.optional import optional

wandb = optional("wandb", extra="rl-core[wandb]")

__all__ = ["WandbLogger"]

#: the field of every record that charts have as their axis
STEP = "trainer/step"


class WandbLogger(Logger):
    """Writes a run of Weights & Biases.

    Steps are a field of the records, `trainer/step`, which all charts have as their axis: names
    may be logged at steps of their own, in any order.

    Args:
        exp_name: the run's name.
        offline: keep the run on this machine; `wandb sync` uploads it later.
        save_dir: the folder of the run's files, `"wandb_logs"` by default.
        id: the run's id, to go on with an earlier run.
        project: the project.
        base_url: the server, W&B's own by default.
        video_fps: frames per second of videos, which need PyAV.
        log_env_packages: put the versions of Python and of all installed packages into the run's
            configuration, as `env`.
        **kwargs: of `wandb.init`, such as `config`, `group`, `tags`.

    Raises:
        MissingDependencyError: wandb is not installed.

    Example:
        >>> logger = WandbLogger("run", offline=True, save_dir="logs")  # doctest: +SKIP
        >>> logger.log_scalar("loss", 0.5, step=10)  # doctest: +SKIP
        >>> logger.close()  # doctest: +SKIP
    """

    def __init__(
        self,
        exp_name: str,
        offline: bool = False,
        save_dir: str | None = None,
        id: str | None = None,
        project: str | None = None,
        base_url: str | None = None,
        *,
        video_fps: int = 32,
        log_env_packages: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(exp_name, "wandb_logs" if save_dir is None else save_dir)
        self.video_fps = video_fps
        Path(self.log_dir).mkdir(parents=True, exist_ok=True)
        if base_url is not None:
            kwargs["settings"] = wandb.Settings(base_url=base_url)
        if offline:
            kwargs["mode"] = "offline"
        if id is not None:
            kwargs.setdefault("resume", "allow")
        # other runs of this process are their own loggers' affair
        kwargs.setdefault("reinit", "create_new")
        self._run = wandb.init(name=exp_name, dir=self.log_dir, id=id, project=project, **kwargs)
        self._run.define_metric("*", step_metric=STEP)
        if log_env_packages:
            self.log_hparams({"env": environment()})

    @classmethod
    def in_folder(cls, exp_name: str, log_dir: str, **kwargs: Any) -> Self:
        """Return a logger whose files lie in `log_dir`."""
        return cls(exp_name, **{"save_dir": log_dir, **kwargs})

    @classmethod
    def resume_arguments(cls, state_dict: Mapping[str, Any]) -> dict[str, Any]:
        """Return the run's id."""
        return {"id": state_dict["id"]} if "id" in state_dict else {}

    @property
    def experiment(self) -> Any:  # noqa: ANN401
        """The `wandb.Run`."""
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
            # wandb's own encoder needs moviepy
            path = os.path.join(folder, "video.mp4")
            write_video(path, video, fps=fps)
            self._log({name: wandb.Video(path, format="mp4")}, self._step(name, step))

    def log_hparams(self, cfg: object) -> None:
        """Put settings into the run's configuration."""
        self._run.config.update(plain(cfg), allow_val_change=True)

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
        self._log({name: wandb.Histogram(np_histogram=bins)}, self._step(name, step))

    def close(self) -> None:
        """Finish the run: write, and upload unless it is offline."""
        if self._is_open:
            self._run.finish()
        super().close()

    def state_dict(self) -> dict[str, Any]:
        """Return what `Logger.state_dict` does, and the run's id."""
        return {**super().state_dict(), "id": self._run.id}

    def _log(self, record: dict[str, Any], step: int) -> None:
        self._run.log({**record, STEP: step})


def environment() -> dict[str, Any]:
    """Return the versions of Python and of every installed distribution.

    Example:
        >>> "torch" in environment()["packages"]
        True
    """
    packages = {dist.metadata["Name"]: dist.version for dist in metadata.distributions()}
    return {"python": platform.python_version(), "packages": dict(sorted(packages.items()))}
