"""What every logger does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from tensordict import TensorDictBase

from rl.core.loggers.values import number, numbers_of

__all__ = ["Logger"]


class Logger(ABC):
    """Writes numbers, histograms, videos and settings of an experiment somewhere.

    Steps: a call without `step` takes the one after the last of that name, from 0.

    Args:
        exp_name: the experiment's name.
        log_dir: the folder it is put in.

    Example:
        >>> class Printer(Logger):
        ...     def _write_scalar(self, name, value, step):
        ...         print(name, value, step)
        ...     def log_video(self, name, video, step=None, **kwargs): ...
        ...     def log_hparams(self, cfg): ...
        ...     def log_histogram(self, name, data, step=None, **kwargs): ...
        >>> logger = Printer("run", "logs")
        >>> logger.log_scalar("loss", 0.5)
        loss 0.5 0
        >>> logger.log_metrics({"train": {"return": torch.tensor(2.0)}}, step=7)
        train/return 2.0 7
        {'train/return': 2.0}
    """

    def __init__(self, exp_name: str, log_dir: str) -> None:
        self.exp_name = exp_name
        self.log_dir = str(log_dir)
        self._next_step: dict[str, int] = {}
        self._is_open = True

    def __repr__(self) -> str:
        return f"{type(self).__name__}(exp_name={self.exp_name!r}, log_dir={self.log_dir!r})"

    @property
    def experiment(self) -> Any:  # noqa: ANN401
        """What this logger writes through, `None` when it writes by itself."""
        return None

    @classmethod
    def in_folder(cls, exp_name: str, log_dir: str, **kwargs: Any) -> Self:
        """Return a logger that keeps what it can in a local folder; `get_logger` calls it.

        Args:
            exp_name: the experiment's name.
            log_dir: the folder.
            **kwargs: what the constructor takes besides.
        """
        return cls(exp_name=exp_name, log_dir=log_dir, **kwargs)

    @classmethod
    def resume_arguments(cls, state_dict: Mapping[str, Any]) -> dict[str, Any]:
        """Return the constructor arguments that go on with the run `state_dict` is from."""
        del state_dict
        return {}

    def start(self) -> Self:
        """Return this logger, which runs since it was made."""
        return self

    @property
    def service_backend(self) -> str:
        """Where it runs: `"direct"`, in this process, or `"process"`, in its own."""
        return "direct"

    @property
    def is_alive(self) -> bool:
        """Whether it still takes what it is given."""
        return self._is_open

    def client(self) -> Logger:
        """Return what workers log with: this logger, or a picklable one where it has a process."""
        return self

    def shutdown(self, timeout: float | None = None) -> None:
        """Close the logger and its process, if it has one.

        Args:
            timeout: seconds given to a process.
        """
        del timeout
        if self._is_open:
            self.close()

    def log_scalar(self, name: str, value: float | torch.Tensor, step: int | None = None) -> None:
        """Log a number, or a tensor or array of one element.

        Raises:
            ValueError: the value has several elements.
        """
        self._write_scalar(name, number(name, value), self._step(name, step))

    def log_metrics(
        self,
        metrics: Mapping[str, Any] | TensorDictBase,
        step: int | None = None,
        *,
        keys_sep: str = "/",
    ) -> dict[str, float]:
        """Log every number of a nested dict or TensorDict; return them by joined name.

        Args:
            metrics: numbers and one-element tensors, nested as wanted.
            step: the step of all of them.
            keys_sep: joins nested keys.
        """
        numbers = numbers_of(metrics, keys_sep)
        for name, value in numbers.items():
            self.log_scalar(name, value, step)
        return numbers

    @abstractmethod
    def _write_scalar(self, name: str, value: float, step: int) -> None:
        """Write one number."""

    @abstractmethod
    def log_video(
        self, name: str, video: torch.Tensor, step: int | None = None, **kwargs: object
    ) -> None:
        """Log a video, uint8 of shape `[T, C, H, W]` or `[1, T, C, H, W]` with C 1 or 3."""

    @abstractmethod
    def log_hparams(self, cfg: object) -> None:
        """Log settings: a mapping or a dataclass, nested as wanted."""

    @abstractmethod
    def log_histogram(
        self,
        name: str,
        data: torch.Tensor | Sequence[float],
        step: int | None = None,
        **kwargs: object,
    ) -> None:
        """Log how values are distributed."""

    def flush(self) -> None:  # noqa: B027  (a logger without a buffer has nothing to do)
        """Write what is still in memory."""

    def close(self) -> None:
        """Flush and let go of files; the logger is not used afterwards."""
        self.flush()
        self._is_open = False

    def state_dict(self) -> dict[str, Any]:
        """Return name, folder and the next steps: what a resumed run needs to go on."""
        return {
            "exp_name": self.exp_name,
            "log_dir": self.log_dir,
            "next_step": dict(self._next_step),
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on counting steps where `state_dict` was taken; name and folder stay as built."""
        self._next_step = dict(state_dict["next_step"])

    def _step(self, name: str, step: int | None) -> int:
        taken = self._next_step.get(name, 0) if step is None else int(step)
        self._next_step[name] = taken + 1
        return taken

    def _by_step(
        self, numbers: Mapping[str, float], step: int | None
    ) -> dict[int, dict[str, float]]:
        """Return the numbers by the step of each."""
        records: dict[int, dict[str, float]] = {}
        for name, value in numbers.items():
            records.setdefault(self._step(name, step), {})[name] = value
        return records
