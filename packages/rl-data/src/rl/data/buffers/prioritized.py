"""Replay buffers with priorities (Schaul et al., 2016, arXiv:1511.05952)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from tensordict.utils import NestedKey

from rl.data.buffers.replay_buffer import ReplayBuffer
from rl.data.buffers.tensordict_buffer import TensorDictReplayBuffer
from rl.data.samplers.prioritized import PrioritizedSampler
from rl.data.storages.base import Storage
from rl.data.storages.list_storage import ListStorage

__all__ = ["PrioritizedReplayBuffer", "TensorDictPrioritizedReplayBuffer"]


class PrioritizedReplayBuffer(ReplayBuffer):
    """A `ReplayBuffer` with a `PrioritizedSampler` of the storage's capacity.

    Args:
        alpha: how much priorities count.
        beta: how much the weights correct for it.
        eps: added to priorities.
        dtype: of the tree.
        storage: a storage, or a function that makes one.
        sampler_device: where the tree is, the CPU by default; see `PrioritizedSampler`.
        kwargs: see `ReplayBuffer`, except `sampler`.

    Example:
        >>> rb = PrioritizedReplayBuffer(alpha=0.6, beta=0.4, batch_size=2)
        >>> index = rb.extend(["a", "b", "c"])
        >>> data, info = rb.sample(return_info=True)
        >>> rb.update_priority(info["index"], torch.tensor([0.1, 2.0]))
    """

    def __init__(
        self,
        *,
        alpha: float,
        beta: float,
        eps: float = 1e-8,
        dtype: torch.dtype = torch.float32,
        storage: Storage | Callable[[], Storage] | None = None,
        sampler_device: torch.device | str | int | None = None,
        **kwargs: Any,
    ) -> None:
        storage = _make(storage)
        sampler = PrioritizedSampler(
            storage.max_size, alpha, beta, eps, dtype, device=sampler_device
        )
        super().__init__(storage=storage, sampler=sampler, **kwargs)


class TensorDictPrioritizedReplayBuffer(TensorDictReplayBuffer):
    """A `TensorDictReplayBuffer` with a `PrioritizedSampler` of the storage's capacity.

    Args:
        alpha: how much priorities count.
        beta: how much the weights correct for it.
        priority_key: entry that holds priorities.
        eps: added to priorities.
        storage: a storage, or a function that makes one.
        sampler_device: where the tree is, the CPU by default; see `PrioritizedSampler`.
        reduction: how priorities with further dimensions become one per element.
        kwargs: see `ReplayBuffer`, except `sampler`.

    Reads:
        priority_key: [*B, ...] priorities, in `extend` if present, in `update_tensordict_priority`.
    Writes:
        index: [batch] int64 element numbers, or [batch, ndim] coordinates.
        priority_weight: [batch] float32 importance weights, at most 1.

    Example:
        >>> from tensordict import TensorDict
        >>> from rl.data import LazyTensorStorage
        >>> rb = TensorDictPrioritizedReplayBuffer(
        ...     alpha=0.7, beta=0.5, storage=LazyTensorStorage(10), batch_size=4
        ... )
        >>> index = rb.extend(TensorDict({"x": torch.arange(5)}, [5]))
        >>> batch = rb.sample()
        >>> batch["td_error"] = torch.rand(4)
        >>> rb.update_tensordict_priority(batch)
        >>> batch["priority_weight"]
        tensor([1., 1., 1., 1.])
    """

    def __init__(
        self,
        *,
        alpha: float,
        beta: float,
        priority_key: NestedKey = "td_error",
        eps: float = 1e-8,
        storage: Storage | Callable[[], Storage] | None = None,
        sampler_device: torch.device | str | int | None = None,
        reduction: str = "max",
        **kwargs: Any,
    ) -> None:
        storage = _make(storage)
        sampler = PrioritizedSampler(
            storage.max_size, alpha, beta, eps, reduction=reduction, device=sampler_device
        )
        super().__init__(priority_key=priority_key, storage=storage, sampler=sampler, **kwargs)


def _make(storage: Storage | Callable[[], Storage] | None) -> Storage:
    if storage is None:
        return ListStorage()
    return storage if isinstance(storage, Storage) else storage()
