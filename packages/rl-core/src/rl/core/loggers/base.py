"""What every logger does."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from tensordict import TensorDictBase

__all__ = ["Logger", "as_video", "flatten", "histogram", "number", "numbers_of", "plain"]


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


def flatten(tree: object, sep: str = "/", prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the leaves of a nested mapping, TensorDict or dataclass with their joined names.

    Example:
        >>> list(flatten({"optim": {"lr": 0.1}, "seed": 0}))
        [('optim/lr', 0.1), ('seed', 0)]
    """
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        tree = {item.name: getattr(tree, item.name) for item in dataclasses.fields(tree)}
    if not isinstance(tree, Mapping | TensorDictBase):
        yield prefix, tree
        return
    for key, value in tree.items():
        yield from flatten(value, sep, f"{prefix}{sep}{key}" if prefix else str(key))


def plain(tree: object) -> Any:  # noqa: ANN401
    """Return settings as JSON holds them: dicts, lists, numbers, strings, `None`.

    Other leaves become their text.

    Example:
        >>> plain({"net": {"hidden": (64, 64)}, "dtype": torch.float32})
        {'net': {'hidden': [64, 64]}, 'dtype': 'torch.float32'}
    """
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        tree = {item.name: getattr(tree, item.name) for item in dataclasses.fields(tree)}
    if isinstance(tree, Mapping | TensorDictBase):
        return {str(key): plain(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [plain(value) for value in tree]
    if isinstance(tree, torch.Tensor | np.ndarray | np.generic):
        return tree.tolist()
    return tree if tree is None or isinstance(tree, bool | int | float | str) else str(tree)


def histogram(
    data: torch.Tensor | Sequence[float], bins: int = 30
) -> tuple[np.ndarray, np.ndarray]:
    """Return the counts `[bins]` of equal bins, and their edges `[bins + 1]`.

    Args:
        data: the values, any shape.
        bins: the number of bins between the least and the greatest value.

    Example:
        >>> counts, edges = histogram([0.0, 0.1, 1.0], bins=2)
        >>> counts.tolist(), edges.tolist()
        ([2, 1], [0.0, 0.5, 1.0])
    """
    values = torch.as_tensor(data).detach().float().cpu().numpy().ravel()
    return np.histogram(values, bins=bins)


def as_video(name: str, video: torch.Tensor) -> np.ndarray:
    """Return a video as a uint8 array `[T, H, W, 3]`.

    Raises:
        ValueError: shape or dtype are not those of a video.

    Example:
        >>> as_video("rollout", torch.zeros(1, 4, 1, 8, 6, dtype=torch.uint8)).shape
        (4, 8, 6, 3)
    """
    frames = torch.as_tensor(video)
    if frames.ndim == 5 and frames.shape[0] == 1:
        frames = frames[0]
    if frames.ndim != 4 or frames.shape[1] not in (1, 3):
        raise ValueError(
            f"Video `{name}` has shape {list(frames.shape)}, expected [T, C, H, W] with C 1 or 3. "
            "Log several videos one by one; `permute` puts channels before height and width."
        )
    if frames.dtype is not torch.uint8:
        raise ValueError(
            f"Video `{name}` is {frames.dtype}, expected torch.uint8. "
            "Scale to 0..255 and call `.to(torch.uint8)`."
        )
    frames = frames.expand(-1, 3, -1, -1)
    return np.ascontiguousarray(frames.permute(0, 2, 3, 1).cpu().numpy())


def numbers_of(metrics: Mapping[str, Any] | TensorDictBase, sep: str = "/") -> dict[str, float]:
    """Return the numbers of a nested dict or TensorDict by their joined names.

    Those of an accelerator come in one transfer per device, so that it is waited for once.

    Raises:
        ValueError: a leaf is not one number.

    Example:
        >>> numbers_of({"train": {"loss": torch.tensor([0.5]), "epoch": 3}})
        {'train/loss': 0.5, 'train/epoch': 3.0}
    """
    leaves = dict(flatten(metrics, sep))
    for device in {value.device for value in leaves.values() if _is_remote(value)}:
        there = {
            name: value
            for name, value in leaves.items()
            if _is_remote(value) and value.device == device
        }
        # float64 holds what float32 and int32 hold; not every device has it
        wide = torch.float32 if device.type == "mps" else torch.float64
        scalars = [value.detach().reshape(()).to(wide) for value in there.values()]
        leaves |= dict(zip(there, torch.stack(scalars).tolist(), strict=True))
    return {name: number(name, value) for name, value in leaves.items()}


def _is_remote(value: object) -> bool:
    return isinstance(value, torch.Tensor) and value.device.type != "cpu" and value.numel() == 1


def number(name: str, value: object) -> float:
    """Return a value as a float.

    Raises:
        ValueError: it is not one number.

    Example:
        >>> number("loss", torch.tensor([0.5]))
        0.5
    """
    try:
        return float(value.item() if hasattr(value, "item") else value)  # type: ignore[arg-type]
    except (TypeError, ValueError, RuntimeError) as error:
        shape = f" of shape {list(value.shape)}" if isinstance(value, torch.Tensor) else ""
        raise ValueError(
            f"Metric `{name}` is a {type(value).__qualname__}{shape}, expected one number. "
            "Reduce it first, such as with `.mean()`, or use `log_histogram`."
        ) from error
