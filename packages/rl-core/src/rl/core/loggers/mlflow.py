"""An MLflow logger."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from tensordict import TensorDictBase

from rl.core.loggers.base import Logger
from rl.core.loggers.values import flatten, histogram, numbers_of, plain
from rl.core.loggers.video import write_video
from rl.core.optional import optional

mlflow = optional("mlflow", extra="rl-core[mlflow]")
entities = optional("mlflow.entities", extra="rl-core[mlflow]")

__all__ = ["MLFlowLogger"]

#: how many entries the store takes at once
_BATCH = 100


class MLFlowLogger(Logger):
    """Writes a run of an MLflow experiment.

    The run belongs to this object: MLflow's global tracking address and active run stay as they
    are, so that several loggers live side by side.

    Args:
        exp_name: the experiment; it is made when absent.
        tracking_uri: where the store is, such as `"sqlite:///mlflow.db"` or `"http://host:5000"`.
        tags: of the run.
        artifact_location: where a new experiment keeps its files.
        video_fps: frames per second of videos, which need PyAV.
        **kwargs: `run_id` goes on with an earlier run, `run_name` names a new one.

    Raises:
        MissingDependencyError: mlflow is not installed.
        TypeError: another keyword.

    Example:
        >>> logger = MLFlowLogger("exp", "sqlite:///mlflow.db")  # doctest: +SKIP
        >>> logger.log_scalar("loss", 0.5, step=10)  # doctest: +SKIP
        >>> logger.close()  # doctest: +SKIP
    """

    def __init__(
        self,
        exp_name: str,
        tracking_uri: str,
        tags: Mapping[str, Any] | None = None,
        *,
        artifact_location: str | None = None,
        video_fps: int = 30,
        run_id: str | None = None,
        run_name: str | None = None,
    ) -> None:
        super().__init__(exp_name, tracking_uri)
        self.video_fps = video_fps
        self._store = mlflow.MlflowClient(tracking_uri=self.log_dir)
        if run_id is None:
            run = self._store.create_run(
                self._experiment_id(artifact_location),
                tags={name: str(value) for name, value in (tags or {}).items()},
                run_name=run_name,
            )
            self.run_id: str = run.info.run_id
        else:
            self._store.update_run(run_id, status="RUNNING")
            self.run_id = run_id

    @classmethod
    def in_folder(cls, exp_name: str, log_dir: str, **kwargs: Any) -> Self:
        """Return a logger whose store lies in `log_dir`, unless `tracking_uri` is given."""
        folder = Path(log_dir).absolute()
        if "tracking_uri" not in kwargs:
            folder.mkdir(parents=True, exist_ok=True)
            kwargs["tracking_uri"] = f"sqlite:///{folder / 'mlflow.db'}"
            kwargs.setdefault("artifact_location", (folder / "artifacts").as_uri())
        return cls(exp_name, **kwargs)

    @classmethod
    def resume_arguments(cls, state_dict: Mapping[str, Any]) -> dict[str, Any]:
        """Return the run's id."""
        return {"run_id": state_dict["run_id"]} if "run_id" in state_dict else {}

    @property
    def experiment(self) -> Any:  # noqa: ANN401
        """The `MlflowClient`; `run_id` names the run."""
        return self._store

    def _experiment_id(self, artifact_location: str | None) -> str:
        found = self._store.get_experiment_by_name(self.exp_name)
        if found is not None:
            return found.experiment_id
        return self._store.create_experiment(self.exp_name, artifact_location=artifact_location)

    def _write_scalar(self, name: str, value: float, step: int) -> None:
        self._store.log_metric(self.run_id, name, value, step=step)

    def log_metrics(
        self,
        metrics: Mapping[str, Any] | TensorDictBase,
        step: int | None = None,
        *,
        keys_sep: str = "/",
    ) -> dict[str, float]:
        """Log every number of a nested dict or TensorDict; see `Logger.log_metrics`."""
        numbers = numbers_of(metrics, keys_sep)
        now_ms = int(1000 * time.time())
        records = [
            entities.Metric(name, value, now_ms, self._step(name, step))
            for name, value in numbers.items()
        ]
        for start in range(0, len(records), _BATCH):
            self._store.log_batch(self.run_id, metrics=records[start : start + _BATCH])
        return numbers

    def log_video(
        self, name: str, video: torch.Tensor, step: int | None = None, **kwargs: object
    ) -> None:
        """Save a video as the artifact `videos/<name>_<step>.mp4`; see `Logger.log_video`.

        Args:
            name: its name.
            video: uint8, `[T, C, H, W]` or `[1, T, C, H, W]`.
            step: ends the file's name.
            **kwargs: `fps` overrides the logger's.
        """
        fps = int(kwargs.get("fps", self.video_fps))  # type: ignore[call-overload]
        parent, _, file = f"videos/{name}_{self._step(name, step)}.mp4".rpartition("/")
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, file)
            write_video(path, video, fps=fps)
            self._store.log_artifact(self.run_id, path, parent)

    def log_hparams(self, cfg: object) -> None:
        """Log settings as parameters of the run, nested names joined with `.`."""
        params = [entities.Param(name, str(value)) for name, value in flatten(plain(cfg), ".")]
        for start in range(0, len(params), _BATCH):
            self._store.log_batch(self.run_id, params=params[start : start + _BATCH])

    def log_histogram(
        self,
        name: str,
        data: torch.Tensor | Sequence[float],
        step: int | None = None,
        **kwargs: object,
    ) -> None:
        """Save `{"counts": ..., "edges": ...}` as the artifact `histograms/<name>_<step>.json`.

        Args:
            name: its name.
            data: the values, any shape.
            step: ends the file's name.
            **kwargs: `bins`, 30 by default.
        """
        counts, edges = histogram(data, bins=kwargs.get("bins", 30))  # type: ignore[arg-type]
        content = {"counts": counts.tolist(), "edges": edges.tolist()}
        path = f"histograms/{name}_{self._step(name, step)}.json"
        self._store.log_dict(self.run_id, content, path)

    def close(self) -> None:
        """Mark the run as finished."""
        if self._is_open:
            self._store.set_terminated(self.run_id)
        super().close()

    def state_dict(self) -> dict[str, Any]:
        """Return what `Logger.state_dict` does, and the run's id."""
        return {**super().state_dict(), "run_id": self.run_id}
