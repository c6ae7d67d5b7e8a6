"""LazyBuffers: a transform whose buffers appear with the first data, or with a loaded state."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from rl.core.contract.keys import NestedKey
from rl.core.transform import Transform

__all__ = ["LazyBuffers", "buffer_name"]


def buffer_name(key: NestedKey, suffix: str) -> str:
    """Return the name of a buffer that belongs to a key; a nested key is joined by `-`.

    Example:
        >>> buffer_name(("agents", "observation"), "sum")
        'agents-observation_sum'
    """
    return f"{key if isinstance(key, str) else '-'.join(key)}_{suffix}"


class LazyBuffers(Transform):
    """A transform that learns the shapes of its buffers from data or from a loaded state.

    A subclass says in `_owns_buffer` which names of a state dict it makes room for, and follows the
    tensors in `_buffers_changed`, which runs after they were loaded or moved.
    """

    def _owns_buffer(self, name: str) -> bool:
        """Tell whether a buffer of this name may appear."""
        return False

    def _buffers_changed(self) -> None:
        """Follow new tensors, after a load or a move to another device or dtype."""

    def _put_buffer(self, name: str, value: Tensor | None) -> None:
        if hasattr(self, name):
            setattr(self, name, value)
        else:
            self.register_buffer(name, value)

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        # torch matches a state dict with the buffers that exist: those of the state come first here
        present = dict(self.named_buffers(recurse=False))
        for full_name, value in state_dict.items():
            name = full_name.removeprefix(prefix)
            if not full_name.startswith(prefix) or not self._owns_buffer(name):
                continue
            known = present.get(name)
            if known is None or known.shape != value.shape:
                self._put_buffer(name, value.detach().clone())
        super()._load_from_state_dict(state_dict, prefix, *args)
        self._buffers_changed()

    def _apply(self, *args: Any, **kwargs: Any) -> nn.Module:
        result = super()._apply(*args, **kwargs)
        self._buffers_changed()
        return result
