"""Categorical specs: one integer out of n."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

import torch
from torch import Tensor
from torch.nn import functional

from rl.core.errors import SpecError
from rl.core.specs.base import DEVICE_TYPING, TensorSpec
from rl.core.specs.masks import common_mask, draw_masked, expand_mask, nearest_allowed, stack_masked
from rl.core.specs.shapes import as_shape
from rl.core.specs.space import CategoricalBox

__all__ = ["Categorical"]


class Categorical(TensorSpec):
    """Integers in `[0, n)`.

    Args:
        n: how many values there are; -1 if that is not known yet (see `set_provisional_n`).
        shape: shape of a value, a scalar by default.
        device: where values are; None means torch's default device.
        dtype: dtype of a value.
        mask: bool, broadcast to `[*shape, n]`; False forbids a value. `rand`, `is_in` and
            `project` honour it.

    Raises:
        SpecError: `n` is neither positive nor -1, or the mask has another shape.

    Example:
        >>> spec = Categorical(4, mask=torch.tensor([True, False, False, True]))
        >>> spec.is_in(torch.tensor(1)), spec.project(torch.tensor(1))
        (False, tensor(0))
    """

    space: CategoricalBox

    # `one_hot` imports this module and fills in its class: modules do not import in a circle.
    _one_hot: ClassVar[type[TensorSpec]]

    def __init__(
        self,
        n: int,
        shape: int | Sequence[int] | None = None,
        device: DEVICE_TYPING | None = None,
        dtype: torch.dtype = torch.int64,
        mask: Tensor | None = None,
    ) -> None:
        n = int(n)
        if n != -1 and n < 1:
            raise SpecError(f"`Categorical` got n={n}: give n >= 1, or -1 if it is not known yet.")
        super().__init__(as_shape(shape), CategoricalBox(n), device, dtype, "discrete")
        self._provisional_n: int | None = None
        self.update_mask(mask)

    @property
    def n(self) -> int:
        """Number of values, -1 if unknown."""
        return self.space.n

    def set_provisional_n(self, n: int | None) -> None:
        """Set the number of values that `rand` uses while `n` is -1.

        Args:
            n: the number for now; None forgets it.
        """
        self._provisional_n = n

    def update_mask(self, mask: Tensor | None) -> None:
        """Replace the mask.

        Args:
            mask: bool, broadcast to `[*shape, n]`; None allows every value.

        Raises:
            SpecError: the mask does not broadcast.
        """
        self._weights: Tensor | None = None
        if mask is not None:
            mask = expand_mask(mask, (*self._draw_shape, self.space.n), self.device)
        self.mask = mask

    def rand(self, shape: int | Sequence[int] | None = None) -> Tensor:
        """Draw uniformly among the allowed values.

        Args:
            shape: extra batch dimensions, before the spec's own.

        Raises:
            SpecError: `n` is unknown, or the mask allows nothing.
        """
        full = self._draw_shape if shape is None else self._full_shape(shape)
        if self.mask is None:
            n = self.space.n
            if n < 0:
                n = self._known_n()
            return torch.randint(n, full, dtype=self.dtype, device=self.device)
        if self._weights is None:
            self._weights = self.mask.reshape(-1, self.space.n).float()
        return draw_masked(self._weights, full).to(self.dtype)

    def _known_n(self) -> int:
        n = self._provisional_n if self.space.n < 0 else self.space.n
        if n is None:
            raise SpecError(
                "`Categorical` does not know its number of values (n=-1): call "
                "`spec.set_provisional_n(n)` first."
            )
        return n

    def is_in(self, val: Any) -> bool:  # noqa: ANN401
        """Return whether `val` has this dtype and shape and every value is allowed."""
        if not self._matches(val):
            return False
        val = val.long()
        inside = val >= 0
        if self.space.n > 0:
            inside = inside & (val < self.space.n)
        if not bool(inside.all()):
            return False
        if self.mask is None:
            return True
        mask = self.mask.to(val.device).expand(*val.shape, -1)
        return bool(mask.gather(-1, val.unsqueeze(-1)).all())

    def to_numpy(self, val: Tensor, safe: bool | None = None) -> Any:  # noqa: ANN401
        """Return the integers as a numpy array, or a number if there are no dimensions.

        Args:
            val: values of this spec.
            safe: test the value first.

        Raises:
            SpecError: `safe` is set and the value is not allowed.
        """
        if safe:
            self.assert_is_in(val)
        return val.detach().cpu().numpy() if val.ndim else val.item()

    def _project(self, val: Tensor) -> Tensor:
        """Round, clamp, and move a masked value to the nearest allowed one (the lower of two)."""
        if val.dtype.is_floating_point:
            val = val.round()
        if self.space.n < 0:
            return val.clamp_min(0).to(self.dtype)
        out = val.clamp(0, self.space.n - 1).long()
        if self.mask is not None:
            out = nearest_allowed(out, self.mask.to(out.device))
        return out.to(self.dtype)

    def cardinality(self) -> int:
        """Return `n`: the elements of `shape` are copies of one variable.

        Raises:
            SpecError: `n` is unknown.
        """
        return self._known_n()

    def enumerate(self, use_mask: bool = False) -> Tensor:
        """Return the values `0 .. n-1`, shape `[n, *shape]`.

        Args:
            use_mask: leave out the values that the mask forbids.

        Raises:
            SpecError: the elements of `shape` have different masks.
        """
        values = torch.arange(self._known_n(), device=self.device).to(self.dtype)
        if use_mask and self.mask is not None:
            values = values[common_mask(self.mask)]
        return values.reshape(-1, *[1] * self.ndim).expand(-1, *self._draw_shape).clone()

    def _common(self) -> Categorical:
        """Return the scalar spec that every element of `shape` shares."""
        mask = None if self.mask is None else common_mask(self.mask)
        return Categorical(self._known_n(), (), self.device, self.dtype, mask)

    def index(self, index: Tensor, tensor_to_index: Tensor) -> Tensor:
        """Return `tensor_to_index[..., index]`, element by element."""
        index = index.long()
        source = tensor_to_index.expand(*index.shape, tensor_to_index.shape[-1])
        return source.gather(-1, index.unsqueeze(-1)).squeeze(-1)

    def to_one_hot(self, val: Tensor, safe: bool | None = None) -> Tensor:
        """Return the values as one-hot vectors, shape `[..., n]` bool.

        Args:
            val: values of this spec.
            safe: test the values first.

        Raises:
            SpecError: `safe` is set and a value is not allowed.
        """
        if safe:
            self.assert_is_in(val)
        return functional.one_hot(val.long(), self._known_n()).bool()

    def to_one_hot_spec(self) -> TensorSpec:
        """Return the `OneHot` spec of the one-hot vectors, mask included."""
        n = self._known_n()
        return self._one_hot(n, (*self.shape, n), self.device, mask=self.mask)

    def to_categorical(self, val: Tensor, safe: bool | None = None) -> Tensor:
        """Return the values as they are.

        Args:
            val: values of this spec.
            safe: test the values first.

        Raises:
            SpecError: `safe` is set and a value is not allowed.
        """
        if safe:
            self.assert_is_in(val)
        return val

    def _stack_dense(self, specs: Sequence[Categorical], dim: int) -> Categorical | None:
        return stack_masked(specs, dim)

    def to_categorical_spec(self) -> Categorical:
        """Return a copy of this spec."""
        return self.clone()

    def _view(self, op: Callable[[Tensor], Tensor]) -> Self:
        new = super()._view(op)
        new._weights = None
        if self.mask is not None:
            # the view acts on leading dimensions, so it is applied to each value's mask
            new.mask = torch.stack([op(allowed) for allowed in self.mask.unbind(-1)], -1)
        return new

    def _to_device(self, device: torch.device) -> Self:
        new = super()._to_device(device)
        new.update_mask(self.mask)
        return new

    def clone(self) -> Self:
        """Return a copy that shares nothing mutable with this spec."""
        new = super().clone()
        new.update_mask(None if self.mask is None else self.mask.clone())
        return new

    def _identity(self) -> tuple:
        return (*super()._identity(), self.mask)
