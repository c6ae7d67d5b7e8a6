"""Data that was there before the training, mixed with data that comes in."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tensordict import is_tensor_collection
from torch import Tensor

from rl.core.errors import ShapeError, SpecError
from rl.data.buffers.replay_buffer import ReplayBuffer
from rl.data.buffers.tensordict_buffer import TensorDictReplayBuffer
from rl.data.datasets.registry import load_dataset
from rl.data.storages.base import Storage
from rl.data.storages.lazy_tensor_storage import LazyTensorStorage

__all__ = ["OfflineToOnlineReplayBuffer", "prefill_replay_buffer"]

_MANAGED = ("index", "priority_weight", "index_generation")


class OfflineToOnlineReplayBuffer:
    """A data set that stays as it is and a buffer that grows, in every batch a part of each.

    `round(offline_fraction * batch_size)` elements come from the data set, in each batch and not
    only on average. While one side is empty, or the fraction is 0, the other gives all.

    Args:
        offline_dataset: a buffer with the data, or the name of a data set for `load_dataset`.
        online_storage: storage of what is written, or
        online_capacity: the size of a `LazyTensorStorage` for it.
        offline_fraction: part of a batch, between 0 and 1.
        batch_size: size of a batch; may be given to `sample` instead.
        transform: applied to batches.
        **dataset_kwargs: of the data set that is named.

    Raises:
        TypeError: `offline_dataset` is no buffer and no name, or not exactly one of
            `online_storage` and `online_capacity` is given.
        ValueError: `offline_fraction` is out of its range.

    Example:
        >>> from tensordict import TensorDict
        >>> offline = ReplayBuffer(storage=LazyTensorStorage(9))
        >>> index = offline.extend(TensorDict({"x": torch.zeros(9)}, [9]))
        >>> rb = OfflineToOnlineReplayBuffer(
        ...     offline, online_capacity=5, offline_fraction=0.25, batch_size=4
        ... )
        >>> index = rb.extend(TensorDict({"x": torch.ones(3)}, [3]))
        >>> rb.sample()["x"]
        tensor([0., 1., 1., 1.])
    """

    def __init__(
        self,
        offline_dataset: ReplayBuffer | str,
        *,
        online_storage: Storage | None = None,
        online_capacity: int | None = None,
        offline_fraction: float = 0.5,
        batch_size: int | None = None,
        transform: Callable[[Any], Any] | None = None,
        **dataset_kwargs: Any,
    ) -> None:
        if isinstance(offline_dataset, str):
            offline_dataset = load_dataset(offline_dataset, **dataset_kwargs)
        elif dataset_kwargs:
            raise TypeError(
                f"`{next(iter(dataset_kwargs))}` is for a data set that is named: pass it where "
                "the buffer is built."
            )
        if not isinstance(offline_dataset, ReplayBuffer):
            raise TypeError(
                f"`offline_dataset` is a {type(offline_dataset).__qualname__}, expected a buffer "
                "that holds the data, or a name as `load_dataset` takes it."
            )
        if (online_storage is None) == (online_capacity is None):
            raise TypeError("Pass `online_storage` or `online_capacity`, one of them.")
        if not 0 < offline_fraction < 1:
            raise ValueError(f"`offline_fraction` is {offline_fraction}, expected it in (0, 1).")
        storage = LazyTensorStorage(online_capacity) if online_capacity else online_storage
        self.offline_buffer = offline_dataset
        self.online_buffer = TensorDictReplayBuffer(storage=storage, batch_size=batch_size)
        self.offline_fraction = float(offline_fraction)
        self._first_fraction = self.offline_fraction
        self._transform = transform

    def add(self, data: Any) -> Any:  # noqa: ANN401
        """Write one row to the online buffer."""
        return self.online_buffer.add(data)

    def extend(self, data: Any) -> Tensor:  # noqa: ANN401
        """Write rows to the online buffer."""
        return self.online_buffer.extend(data)

    def anneal(self, step: int, total_steps: int) -> None:
        """Bring the fraction linearly to 0 at `total_steps`.

        Raises:
            ValueError: `step` is negative or `total_steps` not positive.
        """
        if step < 0 or total_steps <= 0:
            raise ValueError(f"Step {step} of {total_steps}: expected 0 or more, of 1 or more.")
        self.offline_fraction = self._first_fraction * max(0.0, 1.0 - step / total_steps)

    def sample(self, batch_size: int | None = None, return_info: bool = False) -> Any:  # noqa: ANN401
        """Return a batch, the offline part first.

        Args:
            batch_size: size of the batch, that of the constructor by default.
            return_info: whether to return a pair, whose second part has the infos of both buffers,
                `"offline"` and `"online"`, of those that gave a part.

        Raises:
            RuntimeError: both buffers are empty, or no batch size is known.
            SpecError: their rows differ in keys.
        """
        size = batch_size or self.online_buffer.batch_size
        if size is None:
            raise RuntimeError("No batch size is known. Pass `batch_size=` here or when building.")
        offline = self._offline_part(size)
        parts = [
            (name, rb.sample(count, return_info=True))
            for name, rb, count in (
                ("offline", self.offline_buffer, offline),
                ("online", self.online_buffer, size - offline),
            )
            if count
        ]
        data = _cat([_without_managed(part) for _, (part, _) in parts])
        data = data if self._transform is None else self._transform(data)
        return (data, {name: info for name, (_, info) in parts}) if return_info else data

    def _offline_part(self, size: int) -> int:
        if not len(self.online_buffer):
            return size
        if not len(self.offline_buffer):
            return 0
        return round(self.offline_fraction * size)

    def empty(self) -> None:
        """Forget the rows of the online buffer."""
        self.online_buffer.empty()

    def __len__(self) -> int:
        return len(self.offline_buffer) + len(self.online_buffer)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the online buffer, of the draws from both, and the fraction."""
        return {
            "online": self.online_buffer.state_dict(),
            "offline_sampler": self.offline_buffer.sampler.state_dict(),
            "offline_fraction": self.offline_fraction,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the state that `state_dict` returned."""
        self.online_buffer.load_state_dict(state_dict["online"])
        self.offline_buffer.sampler.load_state_dict(state_dict["offline_sampler"])
        self.offline_fraction = float(state_dict["offline_fraction"])

    def dumps(self, path: str | os.PathLike[str]) -> None:
        """Save both buffers to two folders in `path`."""
        self.online_buffer.dumps(Path(path) / "online")
        self.offline_buffer.dumps(Path(path) / "offline")

    def loads(self, path: str | os.PathLike[str]) -> None:
        """Load what `dumps` saved.

        Raises:
            CheckpointError: a file is missing, damaged or foreign.
        """
        self.online_buffer.loads(Path(path) / "online")
        self.offline_buffer.loads(Path(path) / "offline")

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(offline={len(self.offline_buffer)}, "
            f"online={len(self.online_buffer)}, offline_fraction={self.offline_fraction})"
        )


def prefill_replay_buffer(
    rb: ReplayBuffer,
    dataset: ReplayBuffer,
    n_samples: int | None = None,
    chunk_size: int = 1000,
) -> ReplayBuffer:
    """Copy the first rows of a data set into a buffer, in their order.

    Args:
        rb: the buffer.
        dataset: a buffer with the data.
        n_samples: number of rows, all by default.
        chunk_size: number of rows that are copied at once.

    Returns:
        `rb`.

    Raises:
        ValueError: `chunk_size` or `n_samples` is not positive.
        ShapeError: the data set has fewer rows, or the buffer has no room for them.

    Example:
        >>> dataset = ReplayBuffer(storage=LazyTensorStorage(9))
        >>> index = dataset.extend({"x": torch.arange(9)})
        >>> rb = ReplayBuffer(storage=LazyTensorStorage(100))
        >>> prefill_replay_buffer(rb, dataset, n_samples=4)[:]["x"]
        tensor([0, 1, 2, 3])
    """
    available = dataset.storage.num_rows
    count = available if n_samples is None else n_samples
    if chunk_size <= 0 or count < 0:
        raise ValueError(f"`chunk_size` is {chunk_size}, `n_samples` {count}: expected above 0.")
    room = rb.storage.max_rows
    if count > available or count > room:
        raise ShapeError(
            f"{count} rows are asked for, the data set has {available} and the buffer room for "
            f"{room}. Pass a smaller `n_samples`, or build a larger buffer."
        )
    step = min(chunk_size, room)
    for start in range(0, count, step):
        rb.extend(_without_managed(dataset[start : min(start + step, count)]))
    return rb


def _without_managed(data: Any) -> Any:  # noqa: ANN401
    return data.exclude(*_MANAGED) if is_tensor_collection(data) else data


def _cat(parts: list[Any]) -> Any:  # noqa: ANN401
    if len(parts) == 1:
        return parts[0]
    first, second = parts
    if isinstance(first, dict) and isinstance(second, dict):
        _same_keys(set(first), set(second))
        return {key: _cat([first[key], second[key]]) for key in first}
    if is_tensor_collection(first):
        _same_keys(set(first.keys(True, True)), set(second.keys(True, True)))
    return torch.cat(parts)


def _same_keys(offline: set[Any], online: set[Any]) -> None:
    if offline != online:
        odd = sorted(map(str, offline ^ online))[0]
        raise SpecError(
            f"`{odd}` is in the {'offline' if odd in set(map(str, offline)) else 'online'} rows "
            "only, so that no batch can hold both. Drop it there, by a transform of that buffer."
        )
