"""Shape operations of a lazy stack: each is passed on to the parts, and the stack dim follows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from rl.core.errors import ShapeError, SpecError
from rl.core.specs.base import DEVICE_TYPING, TensorSpec
from rl.core.specs.batch_index import dims_used, without_ellipsis
from rl.core.specs.shapes import flat_args, view_shape

__all__ = ["LazyView"]


class LazyView(TensorSpec):
    """The shape operations that `Stacked` and `StackedComposite` share.

    Example:
        >>> from rl.core.specs import Bounded
        >>> stack = torch.stack([Bounded(0, 1, (2,)), Bounded(0, 1, (3,))])
        >>> stack.unsqueeze(0).shape, stack[1].shape
        (torch.Size([1, 2, -1]), torch.Size([3]))
    """

    specs: tuple[TensorSpec, ...]
    dim: int

    @property
    def stack_dim(self) -> int:
        """The dimension along which the parts lie."""
        return self.dim

    def _with(self, specs: Sequence[TensorSpec], dim: int) -> Self:
        """Return a lazy stack of this kind with other parts."""
        return type(self)(*specs, dim=dim)

    def _refuse(self, name: str) -> SpecError:
        return SpecError(
            f"`{name}` would merge or split the stack dimension {self.dim} of a lazy stack of "
            f"shape {list(self.shape)}, whose parts differ: work on the parts "
            f"(`spec.unbind({self.dim})`)."
        )

    def expand(self, *shape: int | Sequence[int]) -> Self:
        """Return the spec of values expanded to `shape`; the stack dimension keeps its size."""
        sizes = flat_args(shape)
        extra = len(sizes) - self.ndim
        dim = self.dim + extra
        if extra < 0 or sizes[dim] not in (-1, len(self.specs)):
            raise ShapeError(
                f"A lazy stack of shape {list(self.shape)} cannot be expanded to {list(sizes)}: "
                f"dimension {dim} must stay {len(self.specs)}."
            )
        rest = (*sizes[:dim], *sizes[dim + 1 :])
        return self._with([spec.expand(rest) for spec in self.specs], dim)

    def unsqueeze(self, dim: int) -> Self:
        """Return the spec with a dimension of size 1 at `dim`."""
        if not -self.ndim - 1 <= dim <= self.ndim:
            raise ShapeError(
                f"Dimension {dim} is out of range for a lazy stack of shape {list(self.shape)}: "
                f"give one of {-self.ndim - 1}..{self.ndim}."
            )
        dim = dim % (self.ndim + 1)
        if dim <= self.dim:
            return self._with([spec.unsqueeze(dim) for spec in self.specs], self.dim + 1)
        return self._with([spec.unsqueeze(dim - 1) for spec in self.specs], self.dim)

    def squeeze(self, dim: int | None = None) -> TensorSpec:
        """Return the spec without dimension `dim` if its size is 1 (all such, if None)."""
        if dim is None:
            out: TensorSpec = self
            for i in reversed(range(self.ndim)):
                out = out.squeeze(i)
            return out
        dim = self._dim(dim)
        if self.shape[dim] != 1:
            return self
        if dim == self.dim:
            return self.specs[0]
        if dim < self.dim:
            return self._with([spec.squeeze(dim) for spec in self.specs], self.dim - 1)
        return self._with([spec.squeeze(dim - 1) for spec in self.specs], self.dim)

    def reshape(self, *shape: int | Sequence[int]) -> Self:
        """Return the spec itself if the shape is its own; others are refused.

        Raises:
            SpecError: the shape is another one.
        """
        if tuple(flat_args(shape)) == tuple(self.shape):
            return self
        raise self._refuse("reshape")

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Self:
        """Return the spec with dimensions `start_dim..end_dim` merged.

        Raises:
            SpecError: the stack dimension is among them.
        """
        start, end = self._dim(start_dim), self._dim(end_dim)
        if end < self.dim:
            parts = [spec.flatten(start, end) for spec in self.specs]
            return self._with(parts, self.dim - (end - start))
        if start > self.dim:
            return self._with([spec.flatten(start - 1, end - 1) for spec in self.specs], self.dim)
        raise self._refuse("flatten")

    def unflatten(self, dim: int, sizes: Sequence[int]) -> Self:
        """Return the spec with dimension `dim` split into `sizes`.

        Raises:
            SpecError: it is the stack dimension.
        """
        dim = self._dim(dim)
        if dim == self.dim:
            raise self._refuse("unflatten")
        if dim < self.dim:
            parts = [spec.unflatten(dim, sizes) for spec in self.specs]
            return self._with(parts, self.dim + len(sizes) - 1)
        return self._with([spec.unflatten(dim - 1, sizes) for spec in self.specs], self.dim)

    def make_neg_dim(self, dim: int) -> Self:
        """Return the spec with dimension `dim`, not the stack's, of unknown size (-1)."""
        dim = self._dim(dim)
        if dim == self.dim:
            raise self._refuse("make_neg_dim")
        inner = dim if dim < self.dim else dim - 1
        return self._with([spec.make_neg_dim(inner) for spec in self.specs], self.dim)

    def unbind(self, dim: int = 0) -> tuple[TensorSpec, ...]:
        """Return one spec per entry along `dim`."""
        return self.specs if self._dim(dim) == self.dim else super().unbind(dim)

    def _indexed(self, index: Any) -> TensorSpec:  # noqa: ANN401
        before, item, after = self._split(without_ellipsis(index, self.ndim))
        inner = (*before, *after)
        parts = [spec[inner] if inner else spec for spec in self._picked(item)]
        if isinstance(item, int):
            return parts[0]
        if not parts:
            raise SpecError(f"The index {index} leaves no part of a lazy stack: pick at least one.")
        leading = torch.Size(self.shape[: self.dim])
        dim = len(view_shape(leading, lambda tensor: tensor[before])) if before else self.dim
        return torch.stack(parts, dim)

    def _split(self, index: tuple) -> tuple[tuple, Any, tuple]:
        """Return the index before, at and behind the stack dimension."""
        used = 0
        for i, item in enumerate(index):
            if used == self.dim and item is not None:
                return index[:i], item, index[i + 1 :]
            used += dims_used(item)
            if used > self.dim:
                raise self._refuse("indexing with a mask")
        return index + (slice(None),) * (self.dim - used), slice(None), ()

    def _picked(self, item: Any) -> Sequence[TensorSpec]:  # noqa: ANN401
        """Return the parts that the index of the stack dimension picks."""
        if isinstance(item, int):
            return (self.specs[item],)
        if isinstance(item, slice):
            return self.specs[item]
        picks = torch.as_tensor(np.asarray(item) if not isinstance(item, Tensor) else item)
        if picks.ndim != 1:
            raise self._refuse(f"indexing with {picks.ndim} dimensions")
        if picks.dtype == torch.bool:
            picks = picks.nonzero().squeeze(-1)
        return [self.specs[i] for i in picks.tolist()]

    # Copies and devices.

    def clone(self) -> Self:
        """Return a copy that shares nothing mutable with this spec."""
        return self._with([spec.clone() for spec in self.specs], self.dim)

    def to(self, dest: DEVICE_TYPING | torch.dtype | None) -> Self:
        """Return the spec with every part on another device or with another dtype."""
        if dest is None:
            return self
        return self._with([spec.to(dest) for spec in self.specs], self.dim)

    def clear_device_(self) -> Self:
        """Forget the device of every part that can."""
        for spec in self.specs:
            spec.clear_device_()
        return self

    def memoize_encode(self, mode: bool = True) -> None:
        """Turn the cache of `encode` on or off in every part."""
        for spec in self.specs:
            spec.memoize_encode(mode)

    def erase_memoize_cache(self) -> None:
        """Empty the caches of `encode`."""
        for spec in self.specs:
            spec.erase_memoize_cache()

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.dim == other.dim and self.specs == other.specs

    __hash__ = None
