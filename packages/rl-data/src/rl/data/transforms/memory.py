"""Transforms that keep something of what was written."""

from __future__ import annotations

from typing import Any, ClassVar

from rl.core.transform import Transform

__all__ = ["WriteMemory"]


class WriteMemory(Transform):
    """A transform whose way in depends on earlier writes.

    All that it keeps is `memory`, which is replaced, never changed in place: the buffer puts the
    old one back if a write fails, forgets it when it is emptied, and saves it with its state.

    Attributes:
        memory: a tensor, a TensorDict, or None for nothing.
        in_order: whether it needs steps that follow each other, so that its buffer is written by
            `extend` only.

    Example:
        >>> import torch
        >>> from tensordict import TensorDict
        >>> from rl.data import LazyTensorStorage, ReplayBuffer
        >>> class Last(WriteMemory):
        ...     def _inv_call(self, data):
        ...         self.memory = data[-1].clone()
        ...         return data
        >>> rb = ReplayBuffer(storage=LazyTensorStorage(4), transform=Last())
        >>> index = rb.extend(TensorDict({"x": torch.arange(3)}, [3]))
        >>> rb.transform[0].memory["x"]
        tensor(2)
    """

    memory: Any = None
    in_order: ClassVar[bool] = False

    def before_write(self, count: int) -> None:
        """Hear that `count` rows are about to be written."""

    def reset(self) -> None:
        """Forget earlier writes."""
        self.memory = None

    def get_extra_state(self) -> dict[str, Any]:
        """Return the memory, to be saved."""
        return {"memory": self.memory}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take the memory that `get_extra_state` returned."""
        self.memory = state["memory"]
