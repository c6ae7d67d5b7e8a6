"""One-hot specs: one value out of n, written as a vector."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from rl.core.errors import SpecError
from rl.core.specs.base import DEVICE_TYPING, TensorSpec
from rl.core.specs.categorical import Categorical
from rl.core.specs.masks import common_mask, draw_masked, expand_mask, stack_masked
from rl.core.specs.shapes import as_shape
from rl.core.specs.space import CategoricalBox

__all__ = ["OneHot", "check_domain_kept", "domain_shape"]

# Up to this n a draw is a row of the identity, beyond it a scatter into zeros.
_IDENTITY_LIMIT = 256


class OneHot(TensorSpec):
    """Vectors of `n` with a single one; the last dimension is the domain.

    Args:
        n: how many values there are.
        shape: shape of a value, `[n]` by default; it ends with `n`.
        device: where values are; None means torch's default device.
        dtype: dtype of a value.
        use_register: give values of any hashable kind the indices 0, 1, ... in the order in
            which `encode` meets them; `to_numpy` gives them back.
        mask: bool, broadcast to `shape`; False forbids a value. `rand`, `is_in` and `project`
            honour it.

    Raises:
        SpecError: the shape does not end with `n`, or the mask has another shape.

    Example:
        >>> spec = OneHot(4)
        >>> spec.encode(2)
        tensor([False, False,  True, False])
        >>> spec.to_numpy(spec.encode(2))
        2
    """

    space: CategoricalBox

    def __init__(
        self,
        n: int,
        shape: int | Sequence[int] | None = None,
        device: DEVICE_TYPING | None = None,
        dtype: torch.dtype = torch.bool,
        use_register: bool = False,
        mask: Tensor | None = None,
    ) -> None:
        n = int(n)
        if n < 1:
            raise SpecError(f"`OneHot` got n={n}: give n >= 1.")
        size = domain_shape("OneHot", n, shape)
        super().__init__(size, CategoricalBox(n), device, dtype, "discrete")
        self.use_register = use_register
        self._register: list[Hashable] = []
        self._set_identity()
        self.update_mask(mask)

    def _set_identity(self) -> None:
        n = self.space.n
        self._rows = self._draw_shape[:-1].numel()
        self._identity_rows: Tensor | None = None
        if n <= _IDENTITY_LIMIT:
            self._identity_rows = torch.eye(n, dtype=self.dtype, device=self.device)

    @property
    def n(self) -> int:
        """Number of values."""
        return self.space.n

    def update_mask(self, mask: Tensor | None) -> None:
        """Replace the mask.

        Args:
            mask: bool, broadcast to `shape`; None allows every value.

        Raises:
            SpecError: the mask does not broadcast.
        """
        self._weights: Tensor | None = None
        if mask is not None:
            mask = expand_mask(mask, self._draw_shape, self.device)
        self.mask = mask

    def rand(self, shape: int | Sequence[int] | None = None) -> Tensor:
        """Draw uniformly among the allowed values.

        Args:
            shape: extra batch dimensions, before the spec's own.

        Raises:
            SpecError: the mask allows nothing.
        """
        full = self._draw_shape if shape is None else self._full_shape(shape)
        n = self.space.n
        if self.mask is None:
            rows = self._rows if shape is None else full[:-1].numel()
            index = torch.randint(n, (rows,), device=self.device)
        else:
            if self._weights is None:
                self._weights = self.mask.reshape(-1, n).float()
            index = draw_masked(self._weights, full[:-1]).reshape(-1)
        if self._identity_rows is not None:
            return self._identity_rows.index_select(0, index).view(full)
        out = torch.zeros(full, dtype=self.dtype, device=self.device)
        return out.scatter_(-1, index.reshape(full[:-1]).unsqueeze(-1), 1)

    def is_in(self, val: Any) -> bool:  # noqa: ANN401
        """Return whether `val` has this dtype and shape and holds one allowed one per vector."""
        if not self._matches(val):
            return False
        if val.dtype != torch.bool and not bool(((val == 0) | (val == 1)).all()):
            return False
        if not bool((val.sum(-1) == 1).all()):
            return False
        if self.mask is None:
            return True
        return not bool((val.bool() & ~self.mask.to(val.device)).any())

    def _project(self, val: Tensor) -> Tensor:
        """Put the one where `val` is largest among the allowed values (the first of equals)."""
        score = val.to(torch.float64)
        if self.mask is not None:
            mask = self.mask.to(val.device)
            if not bool(mask.any(-1).all()):
                raise SpecError(
                    "The mask forbids every value, so none can be projected on: allow one."
                )
            score = score.nan_to_num(nan=-torch.inf).masked_fill(~mask, -torch.inf)
            # among equals of minus infinity the first may be forbidden
            allowed_first = (score == score.amax(-1, keepdim=True)) & mask
            score = torch.where(allowed_first.any(-1, keepdim=True), allowed_first, mask).double()
        return functional.one_hot(score.argmax(-1), self.space.n).to(self.dtype)

    def _encode(self, val: Any, ignore_device: bool) -> Tensor:  # noqa: ANN401
        if self.use_register and not isinstance(val, Tensor):
            return self._one_hot(torch.tensor(self._registered(val)), ignore_device)
        tensor = self._as_tensor(val, None, ignore_device)
        if tensor.dtype == torch.bool or tensor.is_floating_point():
            # already vectors; indices come as integers
            self._check_fits(tensor.shape, "The value to encode")
            return tensor.to(self.dtype)
        return self._one_hot(tensor, ignore_device)

    def _one_hot(self, index: Tensor, ignore_device: bool) -> Tensor:
        n = self.space.n
        if index.numel() and not 0 <= int(index.min()) <= int(index.max()) < n:
            raise SpecError(
                f"`{type(self).__name__}` of n={n} cannot encode {index.tolist()}: "
                f"give integers in 0..{n - 1}."
            )
        index = index.long()
        batch = self.shape[:-1]
        if index.ndim < len(batch):
            index = index.expand(self._draw_shape[:-1])
        out = functional.one_hot(index, n).to(self.dtype)
        self._check_fits(out.shape, "The encoded value")
        return out if ignore_device else out.to(self.device)

    def _registered(self, val: Any) -> Any:  # noqa: ANN401
        if isinstance(val, list | np.ndarray):
            return [self._registered(item) for item in val]
        if val not in self._register:
            if len(self._register) == self.space.n:
                raise SpecError(
                    f"The register of `OneHot` is full: it holds n={self.space.n} values and met "
                    f"{val!r}. Build the spec with a larger n."
                )
            self._register.append(val)
        return self._register.index(val)

    def to_numpy(self, val: Tensor, safe: bool | None = None) -> Any:  # noqa: ANN401
        """Return the indices as a numpy array, or a number if there is no batch dimension.

        Args:
            val: one-hot vectors.
            safe: test the value first.

        Raises:
            SpecError: `safe` is set and the value is not allowed.
        """
        if safe:
            self.assert_is_in(val)
        index = val.detach().long().argmax(-1).cpu()
        if self.use_register:
            return _nested(self._register, index.tolist())
        return index.numpy() if index.ndim else index.item()

    def cardinality(self) -> int:
        """Return `n`: the vectors of a batch are copies of one variable."""
        return self.space.n

    def enumerate(self, use_mask: bool = False) -> Tensor:
        """Return the `n` vectors, shape `[n, *shape]`.

        Args:
            use_mask: leave out the values that the mask forbids.

        Raises:
            SpecError: the batch elements have different masks.
        """
        n = self.space.n
        values = torch.eye(n, dtype=self.dtype, device=self.device)
        if use_mask and self.mask is not None:
            values = values[common_mask(self.mask)]
        values = values.reshape(-1, *[1] * (self.ndim - 1), n)
        return values.expand(-1, *self._draw_shape).clone()

    def index(self, index: Tensor, tensor_to_index: Tensor) -> Tensor:
        """Return the entry of `tensor_to_index` under each vector's one, shape `[..., 1]`."""
        position = index.long().argmax(-1, keepdim=True)
        return tensor_to_index.expand(*position.shape[:-1], -1).gather(-1, position)

    def to_categorical(self, val: Tensor, safe: bool | None = None) -> Tensor:
        """Return the index of each vector's one, shape `[...]` int64.

        Args:
            val: one-hot vectors.
            safe: test the value first.

        Raises:
            SpecError: `safe` is set and the value is not allowed.
        """
        if safe:
            self.assert_is_in(val)
        return val.long().argmax(-1)

    def to_categorical_spec(self) -> Categorical:
        """Return the spec of the indices, mask included."""
        return Categorical(self.space.n, self.shape[:-1], self.device, mask=self.mask)

    def to_one_hot(self, val: Tensor, safe: bool | None = None) -> Tensor:
        """Return the vectors as they are.

        Args:
            val: one-hot vectors.
            safe: test the value first.

        Raises:
            SpecError: `safe` is set and the value is not allowed.
        """
        if safe:
            self.assert_is_in(val)
        return val

    def _stack_dense(self, specs: Sequence[OneHot], dim: int) -> OneHot | None:
        return None if self.use_register else stack_masked(specs, dim)

    def to_one_hot_spec(self) -> OneHot:
        """Return a copy of this spec."""
        return self.clone()

    def _view(self, op: Callable[[Tensor], Tensor]) -> Self:
        new = super()._view(op)
        check_domain_kept(self, op)
        new._set_identity()
        new.update_mask(None if self.mask is None else op(self.mask))
        return new

    def _to_device(self, device: torch.device) -> Self:
        new = super()._to_device(device)
        new._set_identity()
        new.update_mask(self.mask)
        return new

    def _to_dtype(self, dtype: torch.dtype) -> Self:
        new = super()._to_dtype(dtype)
        new._set_identity()
        return new

    def clone(self) -> Self:
        """Return a copy that shares nothing mutable with this spec."""
        new = super().clone()
        new._register = list(self._register)
        new.update_mask(None if self.mask is None else self.mask.clone())
        return new

    def _identity(self) -> tuple:
        return (*super()._identity(), self.use_register, self.mask)


Categorical._one_hot = OneHot


def domain_shape(name: str, n: int, shape: int | Sequence[int] | None) -> torch.Size:
    """Return the shape of a spec whose last dimension is a domain of size `n`.

    Raises:
        SpecError: the given shape does not end with `n`.
    """
    size = as_shape(shape, (n,))
    if not size or size[-1] != n:
        raise SpecError(
            f"`{name}` has a last dimension of {n}, got shape {list(size)}: give "
            f"shape={(*size[:-1], n)}."
        )
    return size


def check_domain_kept(spec: TensorSpec, op: Callable[[Tensor], Tensor]) -> None:
    """Raise unless the view `op` leaves the last dimension, the domain, as it is.

    Raises:
        SpecError: it does not.
    """
    n = spec.shape[-1]
    domain = torch.arange(n)
    # the view of a tensor that holds each position in the domain must still do so
    moved = op(domain.expand(spec._draw_shape))
    if not moved.ndim or moved.shape[-1] != n or not bool((moved == domain).all()):
        raise SpecError(
            f"The last dimension of `{type(spec).__name__}` of shape {list(spec.shape)} is its "
            "domain and must stay as it is: work on the dimensions before it, or convert with "
            "`to_categorical_spec()`."
        )


def _nested(register: list, index: Any) -> Any:  # noqa: ANN401
    if isinstance(index, list):
        return [_nested(register, i) for i in index]
    return register[index]
