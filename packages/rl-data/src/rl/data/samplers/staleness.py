"""Fresh data first: rows are drawn by how old the policy is that made them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from tensordict.utils import NestedKey
from torch import Tensor

from rl.core.errors import SpecError
from rl.data.samplers.base import Sampler
from rl.data.samplers.stored_column import stored_numbers
from rl.data.storages.base import Storage

__all__ = ["StalenessAwareSampler"]


def _fresh_first(staleness: Tensor) -> Tensor:
    return 1.0 / (staleness.double() + 1.0)


class StalenessAwareSampler(Sampler):
    """Draws rows by the age of their policy, and leaves out those that are too old.

    The staleness of a row is `consumer_version - policy_version`; the training loop raises
    `consumer_version` when it changes the policy. Drawing is with replacement.

    Args:
        max_staleness: rows that are staler are not drawn; -1 for no limit.
        staleness_weight_fn: maps staleness, `[n]` int64, to weights, `[n]`; by default
            `1 / (staleness + 1)`.
        version_key: entry that holds the version of the policy.

    Reads:
        version_key: [*B] or [*B, 1] integer.
    Writes:
        staleness: [batch] float32.

    Raises:
        ValueError: `max_staleness` is below -1.

    Example:
        >>> from tensordict import TensorDict
        >>> from rl.data import LazyTensorStorage, TensorDictReplayBuffer
        >>> sampler = StalenessAwareSampler(max_staleness=1)
        >>> rb = TensorDictReplayBuffer(
        ...     storage=LazyTensorStorage(9), sampler=sampler, batch_size=4
        ... )
        >>> index = rb.extend(TensorDict({"policy_version": torch.tensor([1, 2, 3])}, [3]))
        >>> sampler.consumer_version = 4
        >>> rb.sample()["policy_version"]
        tensor([3, 3, 3, 3])
    """

    def __init__(
        self,
        max_staleness: int = -1,
        staleness_weight_fn: Callable[[Tensor], Tensor] | None = None,
        version_key: NestedKey = "policy_version",
    ) -> None:
        if max_staleness < -1:
            raise ValueError(f"`max_staleness` is {max_staleness}, expected at least -1.")
        self.max_staleness = max_staleness
        self.staleness_weight_fn = staleness_weight_fn or _fresh_first
        self.version_key = version_key
        self.consumer_version = 0

    def increment_consumer_version(self) -> int:
        """Note that the policy changed; return its version."""
        self.consumer_version += 1
        return self.consumer_version

    def prepare(self, storage: Storage) -> None:
        """Check that the storage numbers one dimension.

        Raises:
            ValueError: it numbers more.
        """
        if storage.ndim > 1:
            raise ValueError(f"The storage has ndim={storage.ndim}, expected 1.")

    def sample(self, storage: Storage, batch_size: int) -> tuple[Any, dict[str, Any]]:
        """Draw `batch_size` rows.

        Raises:
            RuntimeError: the storage is empty, or every row is too stale.
            MissingKeyError: rows have no version.
            SpecError: a row is newer than the consumer, or weights are not numbers of at least 0.
        """
        size = self._size(storage)
        staleness = self.consumer_version - stored_numbers(storage, self.version_key).long()
        if int(staleness.min()) < 0:
            raise SpecError(
                f"A row has version {self.consumer_version - int(staleness.min())}, newer than "
                f"the consumer's {self.consumer_version}. Set `sampler.consumer_version` when the "
                "policy changes."
            )
        weight = self._weights(staleness)
        if self.max_staleness >= 0:
            weight = torch.where(staleness <= self.max_staleness, weight, 0.0)
        total = weight.cumsum(0)
        if not total[-1] > 0:
            raise RuntimeError(
                f"All {size} rows have weight 0: the freshest is {int(staleness.min())} versions "
                f"old, `max_staleness` is {self.max_staleness}. Raise it, or collect with newer "
                "weights."
            )
        uniform = torch.rand(batch_size, generator=self.generator, dtype=torch.float64)
        drawn = torch.searchsorted(total, uniform * total[-1], right=True)
        # rounding may end beyond the last row that has a weight
        drawn = drawn.clamp(max=int(weight.nonzero()[-1]))
        return drawn, {"staleness": staleness[drawn].float()}

    def _weights(self, staleness: Tensor) -> Tensor:
        weight = self.staleness_weight_fn(staleness).double()
        if weight.shape != staleness.shape or not (weight >= 0).all() or weight.isinf().any():
            raise SpecError(
                f"`staleness_weight_fn` returned shape {list(weight.shape)}, expected "
                f"{list(staleness.shape)}, of finite numbers of at least 0."
            )
        return weight

    def state_dict(self) -> dict[str, Any]:
        """Return the consumer's version and the limit."""
        return {"consumer_version": self.consumer_version, "max_staleness": self.max_staleness}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the state that `state_dict` returned."""
        self.consumer_version = int(state_dict["consumer_version"])
        self.max_staleness = int(state_dict["max_staleness"])

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(max_staleness={self.max_staleness}, "
            f"consumer_version={self.consumer_version})"
        )
