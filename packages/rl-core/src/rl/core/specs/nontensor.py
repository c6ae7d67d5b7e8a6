"""Non-tensor specs: any Python object, wrapped as tensordict wraps it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import torch
from tensordict import NonTensorData, NonTensorStack, is_non_tensor, is_tensor_collection
from torch import Tensor

from rl.core.errors import SpecError
from rl.core.specs.base import DEVICE_TYPING, TensorSpec, as_device
from rl.core.specs.shapes import as_shape

__all__ = ["NonTensor"]


class NonTensor(TensorSpec):
    """Any Python object: text, a dict, a simulator's state.

    Args:
        shape: batch shape of a value, `[1]` by default.
        device: device of the wrapper; None by default.
        dtype: kept for symmetry with other specs, usually None.
        example_data: the object that `rand`, `zero` and `one` give.
        batched: `example_data` is a list with one object per element of `shape`'s first
            dimension, in place of one object for all elements.
        feature_dims: how many of the last dimensions of `shape` belong to the object itself
            (such as the length of a list); the wrapper's batch shape stops before them.

    Raises:
        SpecError: both `batched` and `feature_dims` are given, or `batched` has another count.

    Example:
        >>> spec = NonTensor((), example_data="hello")
        >>> spec.rand().data, spec.is_in("other")
        ('hello', True)
    """

    device: torch.device | None

    def __init__(
        self,
        shape: int | Sequence[int] | None = None,
        device: DEVICE_TYPING | None = None,
        dtype: torch.dtype | None = None,
        example_data: Any = None,  # noqa: ANN401
        batched: bool = False,
        feature_dims: int | None = None,
    ) -> None:
        if batched and feature_dims:
            raise SpecError("`NonTensor` takes either `batched` or `feature_dims`: drop one.")
        super().__init__(as_shape(shape, (1,)), None, device, dtype, None)
        self.device = None if device is None else as_device(device)
        self.dtype = dtype
        self.example_data = example_data
        self.batched = batched
        self.feature_dims = feature_dims or 0
        if batched and isinstance(example_data, list):
            first = self._draw_shape[0] if self.ndim else None
            if len(example_data) != first:
                raise SpecError(
                    f"`NonTensor` of shape {list(self.shape)} got a batch of "
                    f"{len(example_data)} objects: give {first}, or batched=False."
                )

    def rand(self, shape: int | Sequence[int] | None = None) -> NonTensorData | NonTensorStack:
        """Return the example data in a wrapper of batch shape `[*shape, *self.shape]`.

        Args:
            shape: extra batch dimensions, before the spec's own.
        """
        full = self._full_shape(shape)
        full = full[: len(full) - self.feature_dims]
        if not (self.batched and isinstance(self.example_data, list)):
            return NonTensorData(self.example_data, batch_size=full, device=self.device)
        options = {"batch_size": self._draw_shape[1:], "device": self.device}
        stack = NonTensorStack(*[NonTensorData(item, **options) for item in self.example_data])
        return stack.expand(full) if shape else stack

    def zero(self, shape: int | Sequence[int] | None = None) -> NonTensorData | NonTensorStack:
        """Return the example data; see `rand`."""
        return self.rand(shape)

    def one(self, shape: int | Sequence[int] | None = None) -> NonTensorData | NonTensorStack:
        """Return the example data; see `rand`."""
        return self.rand(shape)

    def is_in(self, val: Any) -> bool:  # noqa: ANN401
        """Return whether `val` is a Python object, or a wrapper whose batch shape fits."""
        if is_non_tensor(val):
            own = self.shape[: self.ndim - self.feature_dims]
            tail = val.batch_size[len(val.batch_size) - len(own) :]
            return len(tail) == len(own) and all(
                want in (-1, got) for want, got in zip(own, tail, strict=True)
            )
        return not isinstance(val, Tensor) and not is_tensor_collection(val)

    def project(self, val: Any) -> Any:  # noqa: ANN401
        """Return the object as it is."""
        return val

    def encode(self, val: Any, *, ignore_device: bool = False) -> Any:  # noqa: ANN401
        """Return the object in a wrapper of this shape; a wrapper is returned as it is."""
        if is_non_tensor(val):
            return val
        device = None if ignore_device else self.device
        batch = self._draw_shape[: self.ndim - self.feature_dims]
        return NonTensorData(val, batch_size=batch, device=device)

    def to_numpy(self, val: Any, safe: bool | None = None) -> Any:  # noqa: ANN401
        """Return the object out of its wrapper (a list for a stack of them)."""
        if safe:
            self.assert_is_in(val)
        if isinstance(val, NonTensorStack):
            return val.tolist()
        return val.data if is_non_tensor(val) else val

    def type_check(self, value: Any, key: Any = None) -> None:  # noqa: ANN401
        """Accept any object."""

    def cardinality(self) -> int | float:
        """Raise: objects cannot be counted."""
        raise NotImplementedError("`NonTensor` holds any object, so it has no cardinality.")

    def clone(self) -> Self:
        """Return a copy; the example data is shared."""
        return self._copy()

    def _to_dtype(self, dtype: torch.dtype) -> Self:
        return self  # objects have no dtype

    def clear_device_(self) -> Self:
        """Forget the device of the wrapper."""
        self.device = None
        return self

    def _identity(self) -> tuple:
        # an object is on no device: that of the wrapper does not count
        return (self.shape, self.dtype, self.batched, self.feature_dims, (self.example_data,))

    def __repr__(self) -> str:
        return (
            f"NonTensor(shape={list(self.shape)}, device={self.device}, "
            f"example_data={self.example_data!r})"
        )
