"""Specs of several discrete variables at once: as integers, or as one-hot blocks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rl.core.errors import SpecError
from rl.core.specs.base import DEVICE_TYPING, TensorSpec
from rl.core.specs.categorical import Categorical
from rl.core.specs.masks import expand_mask
from rl.core.specs.one_hot import OneHot, check_domain_kept, domain_shape
from rl.core.specs.shapes import as_shape
from rl.core.specs.space import BoxList

__all__ = ["MultiCategorical", "MultiOneHot"]


class MultiCategorical(TensorSpec):
    """Vectors of integers, the i-th in `[0, nvec[i])`.

    Args:
        nvec: sizes of the variables; nested for variables in several dimensions.
        shape: shape of a value, that of `nvec` by default; it ends with it.
        device: where values are; None means torch's default device.
        dtype: dtype of a value.
        mask: bool, broadcast to `[*shape[:-1], sum(nvec)]`, one block per variable; False
            forbids a value.
        remove_singleton: give a lone variable, if no shape is given, values of shape `[]`
            in place of `[1]`.

    Raises:
        SpecError: a size is not positive, or the shape or the mask does not fit.

    Example:
        >>> spec = MultiCategorical([2, 3])
        >>> spec.is_in(torch.tensor([1, 2])), spec.project(torch.tensor([4, -3]))
        (True, tensor([1, 0]))
    """

    space: BoxList

    def __init__(
        self,
        nvec: Sequence[int] | Tensor | int,
        shape: int | Sequence[int] | None = None,
        device: DEVICE_TYPING | None = None,
        dtype: torch.dtype = torch.int64,
        mask: Tensor | None = None,
        remove_singleton: bool = True,
    ) -> None:
        sizes = torch.atleast_1d(torch.as_tensor(nvec))
        if not sizes.numel() or int(sizes.min()) < 1:
            raise SpecError(f"`MultiCategorical` got nvec={sizes.tolist()}: give sizes >= 1.")
        self.remove_singleton = remove_singleton
        if shape is None and remove_singleton and sizes.shape == (1,):
            sizes = sizes[0]
        size = as_shape(shape, sizes.shape)
        if sizes.ndim and size[-1:] != sizes.shape[-1:]:
            raise SpecError(
                f"`MultiCategorical` of nvec {sizes.tolist()} got shape {list(size)}: its last "
                f"dimension is {sizes.shape[-1]}, one entry per variable."
            )
        super().__init__(size, None, device, dtype, "discrete")
        self._set_nvec(sizes.to(self.device, torch.int64).expand(self._draw_shape).clone())
        self.update_mask(mask)

    def _set_nvec(self, nvec: Tensor) -> None:
        self.nvec = nvec
        row = nvec.reshape(-1, nvec.shape[-1] if nvec.ndim else 1)
        # sizes as numbers where all batch elements have the same ones
        self._row = row[0].tolist() if len(row) and bool((row == row[:1]).all()) else None
        self.space = BoxList.from_nvec(self._row if self._row is not None else nvec)
        self._float_nvec = nvec.double()

    def _sizes(self) -> list[int]:
        if self._row is None:
            raise SpecError(
                "The batch elements of this `MultiCategorical` have different sizes, so they "
                "share no mask or one-hot form: index the spec first (`spec[0]`)."
            )
        return self._row

    def update_mask(self, mask: Tensor | None) -> None:
        """Replace the mask.

        Args:
            mask: bool, broadcast to `[*shape[:-1], sum(nvec)]`; None allows every value.

        Raises:
            SpecError: the mask does not broadcast, or sizes differ within the batch.
        """
        self._blocks: list[Categorical] | None = None
        if mask is not None:
            sizes, batch = self._sizes(), self._draw_shape[:-1]
            mask = expand_mask(mask, (*batch, sum(sizes)), self.device)
            self._blocks = [
                Categorical(n, batch, self.device, mask=part)
                for n, part in zip(sizes, mask.split(sizes, -1), strict=True)
            ]
        self.mask = mask

    def rand(self, shape: int | Sequence[int] | None = None) -> Tensor:
        """Draw each variable uniformly among its allowed values.

        Args:
            shape: extra batch dimensions, before the spec's own.
        """
        full = self._full_shape(shape)
        if self._blocks is not None:
            columns = [block.rand(shape) for block in self._blocks]
            return torch.stack(columns, -1).reshape(full).to(self.dtype)
        draw = torch.rand(full, dtype=torch.float64, device=self.device)
        return draw.mul_(self._float_nvec).to(self.dtype)

    def is_in(self, val: Any) -> bool:  # noqa: ANN401
        """Return whether `val` has this dtype and shape and every variable is allowed."""
        if not self._matches(val):
            return False
        if not bool(((val >= 0) & (val < self.nvec.to(val.device))).all()):
            return False
        if self._blocks is None:
            return True
        columns = self._columns(val).long().unbind(-1)
        return all(block.is_in(col) for block, col in zip(self._blocks, columns, strict=True))

    def _columns(self, val: Tensor) -> Tensor:
        """Return the value with one column per variable, also for a lone variable."""
        return val if self.ndim else val.unsqueeze(-1)

    def _project(self, val: Tensor) -> Tensor:
        """Round and clamp each variable; a masked value moves to the nearest allowed one."""
        if val.dtype.is_floating_point:
            val = val.round()
        nvec = self.nvec.to(val.device)
        out = torch.minimum(val.clamp_min(0).long(), nvec - 1)
        if self._blocks is not None:
            columns = self._columns(out).unbind(-1)
            moved = [block.project(col) for block, col in zip(self._blocks, columns, strict=True)]
            out = torch.stack(moved, -1).reshape(out.shape)
        return out.to(self.dtype)

    def cardinality(self) -> int:
        """Return the product of the sizes; batch elements are copies where sizes agree."""
        return math.prod(self._row if self._row is not None else self.nvec.flatten().tolist())

    def enumerate(self, use_mask: bool = False) -> Tensor:
        """Return every combination of values, shape `[count, *shape]`.

        Args:
            use_mask: leave out the values that the mask forbids.
        """
        shared = self._row is not None
        if use_mask and self._blocks is not None:
            ranges = [block._common().enumerate(use_mask=True) for block in self._blocks]
        else:
            sizes = self._row if shared else self.nvec.flatten().tolist()
            ranges = [torch.arange(n, device=self.device) for n in sizes]
        grid = torch.cartesian_prod(*ranges).to(self.dtype)
        if not shared:
            return grid.reshape(-1, *self._draw_shape)
        if not self.ndim:
            return grid.reshape(-1)
        grid = grid.reshape(-1, *[1] * (self.ndim - 1), len(ranges))
        return grid.expand(-1, *self._draw_shape).clone()

    def to_numpy(self, val: Tensor, safe: bool | None = None) -> Any:  # noqa: ANN401
        """Return the integers as a numpy array."""
        return super().to_numpy(val, safe)

    def to_one_hot(self, val: Tensor, safe: bool | None = None) -> Tensor:
        """Return the values as concatenated one-hot blocks, shape `[..., sum(nvec)]` bool.

        Args:
            val: values of this spec.
            safe: test the values first.

        Raises:
            SpecError: `safe` is set and a value is not allowed, or sizes differ in the batch.
        """
        if safe:
            self.assert_is_in(val)
        columns = self._columns(val).unbind(-1)
        return torch.cat(
            [
                torch.nn.functional.one_hot(col.long(), n)
                for n, col in zip(self._sizes(), columns, strict=True)
            ],
            -1,
        ).bool()

    def to_one_hot_spec(self) -> MultiOneHot:
        """Return the spec of the one-hot blocks, mask included."""
        sizes = self._sizes()
        return MultiOneHot(sizes, (*self.shape[:-1], sum(sizes)), self.device, mask=self.mask)

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

    def to_categorical_spec(self) -> MultiCategorical:
        """Return a copy of this spec."""
        return self.clone()

    def _view(self, op: Callable[[Tensor], Tensor]) -> TensorSpec:
        nvec = op(self.nvec)
        if not nvec.ndim and self.ndim:
            return Categorical(int(nvec), (), self.device, self.dtype, self._mask_of(op))
        new = super()._view(op)
        new._set_nvec(nvec.clone())
        if self.mask is not None:
            check_domain_kept(self, op)
            flags = [
                op(flag.unsqueeze(-1).expand(self._draw_shape))[..., 0]
                for flag in self.mask.unbind(-1)
            ]
            new.update_mask(torch.stack(flags, -1))
        return new

    def _mask_of(self, op: Callable[[Tensor], Tensor]) -> Tensor | None:
        """Return the mask of the single variable that the view `op` picks."""
        if self.mask is None:
            return None
        position = torch.arange(self.nvec.numel(), device=self.device).reshape(self.nvec.shape)
        row, column = divmod(int(op(position)), self.shape[-1])
        rows = self.mask.reshape(-1, self.mask.shape[-1])
        return rows[row].split(self._sizes(), -1)[column]

    def _to_device(self, device: torch.device) -> MultiCategorical:
        new = super()._to_device(device)
        # the sizes as numbers stay: reading them off another device would wait for it
        new.nvec = self.nvec.to(device)
        new._float_nvec = self._float_nvec.to(device)
        new.update_mask(self.mask)
        return new

    def clone(self) -> MultiCategorical:
        """Return a copy that shares nothing mutable with this spec."""
        new = self._copy()
        new._set_nvec(self.nvec.clone())
        new.update_mask(None if self.mask is None else self.mask.clone())
        return new

    def _identity(self) -> tuple:
        return (self.shape, self.dtype, self.device, self.nvec, self.mask)


class MultiOneHot(TensorSpec):
    """One-hot vectors of sizes `nvec`, concatenated along the last dimension.

    Args:
        nvec: sizes of the variables.
        shape: shape of a value, `[sum(nvec)]` by default; it ends with `sum(nvec)`.
        device: where values are; None means torch's default device.
        dtype: dtype of a value.
        mask: bool, broadcast to `shape`; False forbids a value.

    Raises:
        SpecError: a size is not positive, or the shape or the mask does not fit.

    Example:
        >>> spec = MultiOneHot([2, 3])
        >>> spec.encode([1, 2])
        tensor([False,  True, False, False,  True])
        >>> spec.to_categorical(spec.encode([1, 2]))
        tensor([1, 2])
    """

    space: BoxList

    def __init__(
        self,
        nvec: Sequence[int],
        shape: int | Sequence[int] | None = None,
        device: DEVICE_TYPING | None = None,
        dtype: torch.dtype = torch.bool,
        mask: Tensor | None = None,
    ) -> None:
        self.nvec = [int(n) for n in nvec]
        if not self.nvec or min(self.nvec) < 1:
            raise SpecError(f"`MultiOneHot` got nvec={self.nvec}: give sizes >= 1.")
        size = domain_shape("MultiOneHot", sum(self.nvec), shape)
        super().__init__(size, BoxList.from_nvec(self.nvec), device, dtype, "discrete")
        self.update_mask(mask)

    def update_mask(self, mask: Tensor | None) -> None:
        """Replace the mask.

        Args:
            mask: bool, broadcast to `shape`; None allows every value.

        Raises:
            SpecError: the mask does not broadcast.
        """
        parts: Sequence[Tensor | None] = [None] * len(self.nvec)
        if mask is not None:
            mask = expand_mask(mask, self._draw_shape, self.device)
            parts = mask.split(self.nvec, -1)
        self.mask = mask
        self._blocks = [
            OneHot(n, (*self.shape[:-1], n), self.device, self.dtype, mask=part)
            for n, part in zip(self.nvec, parts, strict=True)
        ]

    def _each(self, val: Tensor) -> zip:
        """Return the pairs of a block and its part of the value."""
        return zip(self._blocks, val.split(self.nvec, -1), strict=True)

    def rand(self, shape: int | Sequence[int] | None = None) -> Tensor:
        """Draw each variable uniformly among its allowed values.

        Args:
            shape: extra batch dimensions, before the spec's own.
        """
        return torch.cat([block.rand(shape) for block in self._blocks], -1)

    def is_in(self, val: Any) -> bool:  # noqa: ANN401
        """Return whether `val` has this dtype and shape and every block is allowed."""
        return self._matches(val) and all(block.is_in(part) for block, part in self._each(val))

    def _project(self, val: Tensor) -> Tensor:
        """Put the one of each block where `val` is largest among the allowed values."""
        return torch.cat([block._project(part) for block, part in self._each(val)], -1)

    def _encode(self, val: Any, ignore_device: bool) -> Tensor:  # noqa: ANN401
        tensor = self._as_tensor(val, None, ignore_device)
        if tensor.dtype == torch.bool or tensor.is_floating_point():
            self._check_fits(tensor.shape, "The value to encode")
            return tensor.to(self.dtype)
        if not tensor.ndim or tensor.shape[-1] != len(self.nvec):
            raise SpecError(
                f"`MultiOneHot` of nvec {self.nvec} got integers of shape {list(tensor.shape)}: "
                f"give one per variable, shape [..., {len(self.nvec)}]."
            )
        columns = zip(self._blocks, tensor.unbind(-1), strict=True)
        return torch.cat(
            [block.encode(column, ignore_device=ignore_device) for block, column in columns], -1
        )

    def to_numpy(self, val: Tensor, safe: bool | None = None) -> np.ndarray:
        """Return the integers of the variables, shape `[..., len(nvec)]`.

        Args:
            val: one-hot blocks.
            safe: test the value first.

        Raises:
            SpecError: `safe` is set and the value is not allowed.
        """
        return self.to_categorical(val.detach(), safe).cpu().numpy()

    def cardinality(self) -> int:
        """Return the product of the sizes; batch elements are copies."""
        return math.prod(self.nvec)

    def enumerate(self, use_mask: bool = False) -> Tensor:
        """Return every combination of values, shape `[count, *shape]`.

        Args:
            use_mask: leave out the values that the mask forbids.
        """
        values = self.to_categorical_spec().enumerate(use_mask)
        return self.to_categorical_spec().to_one_hot(values).to(self.dtype)

    def index(self, index: Tensor, tensor_to_index: Tensor) -> Tensor:
        """Return the entry of `tensor_to_index` under each block's one, shape `[..., blocks]`."""
        parts = tensor_to_index.split(self.nvec, -1)
        pairs = zip(self._each(index), parts, strict=True)
        return torch.cat([block.index(value, part) for (block, value), part in pairs], -1)

    def to_categorical(self, val: Tensor, safe: bool | None = None) -> Tensor:
        """Return the integers of the variables, shape `[..., len(nvec)]` int64.

        Args:
            val: one-hot blocks.
            safe: test the value first.

        Raises:
            SpecError: `safe` is set and the value is not allowed.
        """
        if safe:
            self.assert_is_in(val)
        return torch.stack([part.long().argmax(-1) for part in val.split(self.nvec, -1)], -1)

    def to_categorical_spec(self) -> MultiCategorical:
        """Return the spec of the integers, mask included."""
        shape = (*self.shape[:-1], len(self.nvec))
        return MultiCategorical(
            self.nvec, shape, self.device, mask=self.mask, remove_singleton=False
        )

    def to_one_hot(self, val: Tensor, safe: bool | None = None) -> Tensor:
        """Return the blocks as they are.

        Args:
            val: one-hot blocks.
            safe: test the value first.

        Raises:
            SpecError: `safe` is set and the value is not allowed.
        """
        if safe:
            self.assert_is_in(val)
        return val

    def to_one_hot_spec(self) -> MultiOneHot:
        """Return a copy of this spec."""
        return self.clone()

    def _view(self, op: Callable[[Tensor], Tensor]) -> MultiOneHot:
        new = super()._view(op)
        check_domain_kept(self, op)
        new.update_mask(None if self.mask is None else op(self.mask))
        return new

    def _to_device(self, device: torch.device) -> MultiOneHot:
        new = super()._to_device(device)
        new.update_mask(self.mask)
        return new

    def _to_dtype(self, dtype: torch.dtype) -> MultiOneHot:
        new = super()._to_dtype(dtype)
        new.update_mask(self.mask)
        return new

    def clone(self) -> MultiOneHot:
        """Return a copy that shares nothing mutable with this spec."""
        new = super().clone()
        new.update_mask(None if self.mask is None else self.mask.clone())
        return new

    def _identity(self) -> tuple:
        return (*super()._identity(), self.mask)
