"""The interface of maps from tensors to tensors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from torch import Tensor

__all__ = ["TensorMap"]

Key = TypeVar("Key")
Value = TypeVar("Value")


class TensorMap(ABC, Generic[Key, Value]):
    """A dict whose keys and values are batches: one lookup for each row.

    Example:
        >>> from rl.data import TensorDictMap
        >>> issubclass(TensorDictMap, TensorMap)
        True
    """

    @abstractmethod
    def __getitem__(self, item: Key) -> Value:
        """Return the values of the rows of `item`."""

    @abstractmethod
    def __setitem__(self, item: Key, value: Value) -> None:
        """Set the values of the rows of `item`."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of keys."""

    @abstractmethod
    def contains(self, item: Key) -> Tensor:
        """Return which rows of `item` have a value, bool."""

    @abstractmethod
    def clear(self) -> None:
        """Forget every key."""

    def __contains__(self, item: Key) -> bool:
        return bool(self.contains(item).all())
