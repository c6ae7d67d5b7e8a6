"""`BaseCollector`: an iterator over batches of transitions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

from tensordict import TensorDictBase

__all__ = ["BaseCollector"]


class BaseCollector:
    """What a trainer needs of a collector, whichever process the envs run in.

    Iterating yields `[*B, T]` TensorDicts of `frames_per_batch` transitions until `total_frames`
    are collected (or None, when a replay buffer takes them).

    Example:
        >>> from tensordict import TensorDict
        >>> class Empty(BaseCollector):
        ...     frames_per_batch, total_frames, frames = 2, 4, 0
        ...     is_exhausted = property(lambda self: self.frames >= self.total_frames)
        ...     def next(self):
        ...         self.frames += self.frames_per_batch
        ...         return TensorDict(batch_size=[2])
        >>> len(Empty()), [batch.shape for batch in Empty()]
        (2, [torch.Size([2]), torch.Size([2])])
    """

    frames_per_batch: int
    total_frames: int

    def __iter__(self) -> Iterator[TensorDictBase | None]:
        while not self.is_exhausted:
            yield self.next()

    def __len__(self) -> int:
        """Return the number of batches of a whole run."""
        if self.total_frames < 0:
            raise TypeError("A collector with `total_frames=-1` has no length.")
        return -(-self.total_frames // self.frames_per_batch)

    @property
    @abstractmethod
    def is_exhausted(self) -> bool:
        """Whether `total_frames` are collected."""

    @abstractmethod
    def next(self) -> TensorDictBase | None:
        """Collect one batch."""

    @abstractmethod
    def update_policy_weights_(self, policy_or_weights: Any = None, **kwargs: Any) -> None:  # noqa: ANN401
        """Bring the collecting policy up to date with the trained one."""

    @abstractmethod
    def set_seed(self, seed: int, static_seed: bool = False) -> int:
        """Seed the envs and return the next seed of the chain."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Return what resumes the collection exactly."""

    @abstractmethod
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resume from a `state_dict`."""

    @abstractmethod
    def shutdown(self) -> None:
        """Close the envs and end the workers."""

    def __enter__(self) -> BaseCollector:
        return self

    def __exit__(self, *error: object) -> None:
        self.shutdown()
