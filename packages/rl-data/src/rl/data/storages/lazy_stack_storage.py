"""A list of TensorDicts that comes back as one lazy stack."""

from __future__ import annotations

import sys
from typing import Any

import torch
from tensordict import TensorDictBase, is_tensor_collection, lazy_stack

from rl.data.storages.base import Checkpointer
from rl.data.storages.list_storage import ListStorage

__all__ = ["LazyStackStorage"]


class LazyStackStorage(ListStorage):
    """Keeps TensorDicts whose entries may differ in shape: text, tokens, whole trajectories.

    What is read is a copy, a lazy stack: entries of one shape are stacked when they are asked for,
    ragged ones are padded or listed by it (`as_padded_tensor`, `as_list`).

    Args:
        max_size: capacity, without bound by default.
        stack_dim: where the dimension that numbers rows is put, counted from the end if negative.
        device: if given, TensorDicts are moved there on writing.
        checkpointer: how the items are saved, as JSON and safetensors by default.

    Example:
        >>> from tensordict import TensorDict
        >>> storage = LazyStackStorage(10)
        >>> storage.set(0, TensorDict({"tokens": torch.ones(3)}))
        >>> storage.set(1, TensorDict({"tokens": torch.ones(5)}))
        >>> storage[:].get("tokens", as_padded_tensor=True).shape
        torch.Size([2, 5])
    """

    default_collate = None

    def __init__(
        self,
        max_size: int | None = None,
        *,
        stack_dim: int = 0,
        device: str | torch.device | None = None,
        checkpointer: Checkpointer | None = None,
    ) -> None:
        size = sys.maxsize if max_size is None else max_size
        super().__init__(size, device=device, checkpointer=checkpointer)
        self.stack_dim = stack_dim

    def _put(self, item: Any) -> TensorDictBase:  # noqa: ANN401
        if not is_tensor_collection(item):
            raise TypeError(
                f"`LazyStackStorage` keeps TensorDicts, got a {type(item).__qualname__}. Use "
                "`ListStorage` for other items."
            )
        # rows of a batch are views of it: who writes it again must not change them
        return super()._put(item).clone()

    def get(self, index: Any) -> TensorDictBase:  # noqa: ANN401
        """Return one item (int) or a lazy stack of items."""
        found = super().get(index)
        if not isinstance(found, list):
            return found.clone()
        if not found:
            raise IndexError("The index names no row: a stack needs one at least.")
        dim = self.stack_dim
        return lazy_stack(
            [item.clone() for item in found], dim if dim >= 0 else found[0].ndim + 1 + dim
        )
