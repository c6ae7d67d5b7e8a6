"""Lazy stacks: specs of different shapes or domains, side by side along one dimension."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from tensordict import LazyStackedTensorDict, is_non_tensor, is_tensor_collection
from torch import Tensor

from rl.core.contract.keys import NestedKey
from rl.core.errors import MissingKeyError, SpecError
from rl.core.specs.base import TensorSpec, implements
from rl.core.specs.composite import Composite
from rl.core.specs.lazy_view import LazyView
from rl.core.specs.tree import NO_DEFAULT, as_names

__all__ = ["Stacked", "StackedComposite", "stack_specs"]


class Stacked(LazyView):
    """Leaf specs of different shapes or domains, stacked along `dim`.

    Where the parts' sizes differ the shape holds -1, and values are nested tensors; where they
    agree, values are plain tensors. `torch.stack` builds one when the specs cannot be merged.

    Args:
        *specs: leaves of one kind, dtype, device and number of dimensions.
        dim: the dimension along which they lie.

    Raises:
        SpecError: the parts do not agree.

    Example:
        >>> from rl.core.specs import Categorical
        >>> spec = torch.stack([Categorical(2), Categorical(3)])
        >>> spec.shape, spec.is_in(torch.tensor([1, 2])), spec.is_in(torch.tensor([2, 1]))
        (torch.Size([2]), True, False)
    """

    def __init__(self, *specs: TensorSpec, dim: int = 0) -> None:
        _check_parts(specs, composite=False)
        first = specs[0]
        self.dim = dim % (first.ndim + 1)
        self.specs = tuple(specs)
        shape = _stacked_shape(specs, self.dim)
        super().__init__(shape, None, first.device, first.dtype, first.domain)
        self.device = first.device
        self.dtype = first.dtype if all(s.dtype == first.dtype for s in specs) else None
        self.domain = first.domain if all(s.domain == first.domain for s in specs) else None

    def __getitem__(self, index: Any) -> TensorSpec:  # noqa: ANN401
        return self._indexed(index)

    def _combined(self, values: list, shape: Any) -> Any:  # noqa: ANN401
        """Return one value out of one per part."""
        extra = len(self._full_shape(shape)) - self.ndim
        if any(is_tensor_collection(value) for value in values):
            return torch.stack(values, self.dim + extra)
        if all(value.shape == values[0].shape for value in values):
            return torch.stack(values, self.dim + extra)
        rests = {value.shape[1:] for value in values}
        if self.dim + extra or len(rests) > 1 or not values[0].ndim:
            raise SpecError(
                f"Values of shapes {[list(v.shape) for v in values]} make no tensor when stacked "
                f"along dimension {self.dim + extra}: put the spec into a `Composite`, stack that "
                f"(its values are lazy stacks), or call the parts (`spec.unbind({self.dim})`)."
            )
        return torch.nested.as_nested_tensor(values, layout=torch.jagged)

    def rand(self, shape: int | Sequence[int] | None = None) -> Any:  # noqa: ANN401
        """Draw a value per part.

        Args:
            shape: extra batch dimensions, before the spec's own.
        """
        return self._combined([spec.rand(shape) for spec in self.specs], shape)

    def zero(self, shape: int | Sequence[int] | None = None) -> Any:  # noqa: ANN401
        """Return zeros per part."""
        return self._combined([spec.zero(shape) for spec in self.specs], shape)

    def one(self, shape: int | Sequence[int] | None = None) -> Any:  # noqa: ANN401
        """Return ones per part."""
        return self._combined([spec.one(shape) for spec in self.specs], shape)

    def _parts_of(self, val: Any) -> list | None:  # noqa: ANN401
        """Return one value per part, or None if there are not as many."""
        if isinstance(val, list | tuple):
            parts = list(val)
        elif isinstance(val, np.ndarray):
            parts = list(np.moveaxis(val, self.dim - self.ndim, 0))
        elif isinstance(val, Tensor) and val.is_nested:
            parts = list(val.unbind())
        elif val.ndim < self.ndim:
            return None
        else:
            parts = list(val.unbind(val.ndim - self.ndim + self.dim))
        return parts if len(parts) == len(self.specs) else None

    def is_in(self, val: Any) -> bool:  # noqa: ANN401
        """Return whether every part holds its value.

        Args:
            val: a tensor, a nested tensor, or a list with a value per part.
        """
        parts = self._parts_of(val)
        if parts is None:
            return False
        return all(spec.is_in(part) for spec, part in zip(self.specs, parts, strict=True))

    def _each(self, val: Any) -> list:  # noqa: ANN401
        parts = self._parts_of(val)
        if parts is None:
            raise SpecError(
                f"The value does not hold one entry for each of the {len(self.specs)} parts of "
                f"the lazy stack of shape {list(self.shape)}: give them as a list."
            )
        return list(zip(self.specs, parts, strict=True))

    def _merged(self, values: list) -> Any:  # noqa: ANN401
        extra = values[0].ndim - self.specs[0].ndim
        return self._combined(values, values[0].shape[:extra])

    def project(self, val: Any) -> Any:  # noqa: ANN401
        """Return the value with every part projected."""
        return self._merged([spec.project(part) for spec, part in self._each(val)])

    def encode(self, val: Any, *, ignore_device: bool = False) -> Any:  # noqa: ANN401
        """Return the value with every part encoded."""
        pairs = self._each(val)
        return self._merged([s.encode(part, ignore_device=ignore_device) for s, part in pairs])

    def to_numpy(self, val: Any, safe: bool | None = None) -> list:  # noqa: ANN401
        """Return a list with the numpy value of each part."""
        if safe:
            self.assert_is_in(val)
        return [spec.to_numpy(part) for spec, part in self._each(val)]

    def cardinality(self) -> int | float:
        """Return the product of the parts' cardinalities."""
        return math.prod(spec.cardinality() for spec in self.specs)

    def __repr__(self) -> str:
        parts = ", ".join(map(str, self.specs))
        return f"Stacked(shape={list(self.shape)}, dim={self.dim}, specs=[{parts}])"


class StackedComposite(LazyView, Composite):
    """Composites with different entries, stacked along `dim`; values are lazy stacks.

    The keys are those that all parts have; entries of a single part are reached through the
    part (`spec[i]`).

    Args:
        *specs: composites of one batch shape.
        dim: the batch dimension along which they lie.

    Raises:
        SpecError: the parts do not agree.

    Example:
        >>> from rl.core.specs import Bounded, Composite
        >>> spec = torch.stack([
        ...     Composite(obs=Bounded(0, 1, (2,)), extra=Bounded(0, 1, (1,))),
        ...     Composite(obs=Bounded(0, 1, (3,))),
        ... ])
        >>> list(spec.keys()), spec["obs"].shape, list(spec[0].keys())
        (['obs'], torch.Size([2, -1]), ['obs', 'extra'])
    """

    specs: tuple[Composite, ...]

    def __init__(self, *specs: Composite, dim: int = 0) -> None:
        _check_parts(specs, composite=True)
        first = specs[0]
        self.dim = dim % (first.ndim + 1)
        self.specs = tuple(specs)
        self.space = None
        self._memo = None
        self._names = None
        self.data_cls = None
        self.step_mdp_static = all(spec.step_mdp_static for spec in specs)
        self._locked = all(spec.is_locked for spec in specs)
        self.device = first.device if all(s.device == first.device for s in specs) else None
        self._set_shape(_stacked_shape(specs, self.dim))

    @property
    def _specs(self) -> dict[str, TensorSpec | None]:
        """The entries that all parts have, stacked."""
        first, *others = self.specs
        names = [n for n in first._specs if all(n in other._specs for other in others)]
        return {name: self._stack_of([spec._specs[name] for spec in self.specs]) for name in names}

    def _stack_of(self, entries: Sequence[TensorSpec | None]) -> TensorSpec | None:
        if any(entry is None for entry in entries):
            return None
        return _stack(entries, self.dim, mixed=True)

    # Entries.

    def set(self, key: NestedKey, spec: TensorSpec | Mapping | None) -> Self:
        """Set one entry in every part: `spec` is unbound along the stack dimension.

        Args:
            key: name, or tuple of names.
            spec: a spec whose shape starts with the stack's, a mapping of such, or None.

        Raises:
            SpecError: a part is locked, or the entry does not fit.
        """
        if spec is not None:
            spec = Composite({"entry": spec}, shape=self.shape)["entry"]
        parts = [None] * len(self.specs) if spec is None else spec.unbind(self.dim)
        for mine, part in zip(self.specs, parts, strict=True):
            mine.set(key, part)
        return self

    def _remove(self, key: NestedKey) -> None:
        for spec in self.specs:
            spec._remove(key)

    def empty(self) -> Self:
        """Return a stack of empty composites."""
        return self._with([spec.empty() for spec in self.specs], self.dim)

    def _set_lock(self, mode: bool, recurse: bool) -> Self:
        self._locked = mode
        for spec in self.specs:
            spec._set_lock(mode, recurse)
        return self

    def get(self, item: NestedKey, default: Any = NO_DEFAULT) -> TensorSpec | None:  # noqa: ANN401
        """Return the stack of one entry of all parts.

        Raises:
            MissingKeyError: some part has no such entry, and there is no default.
        """
        names = as_names(item)
        absent = [i for i, spec in enumerate(self.specs) if names not in spec]
        if not absent:
            return self._stack_of([spec.get(names) for spec in self.specs])
        if default is NO_DEFAULT and len(absent) < len(self.specs):
            raise MissingKeyError(
                f"`{'.'.join(names)}` is not in every part of the lazy stack: parts {absent} lack "
                "it. Read it from a part (`spec[i]`), or fill the others with `consolidate_spec`."
            )
        return self._missing(item, default)

    # Values.

    def _build(self, shape: int | Sequence[int] | None, draw: Callable) -> LazyStackedTensorDict:
        extra = len(self._full_shape(shape)) - self.ndim
        return _lazy([draw(spec, shape) for spec in self.specs], self.dim + extra)

    def _parts_of(self, val: Any) -> list:  # noqa: ANN401
        if isinstance(val, list | tuple):
            parts = list(val)
        elif is_tensor_collection(val):
            parts = list(val.unbind(val.ndim - self.ndim + self.dim))
        else:
            parts = [_part(val, i, self.dim) for i in range(len(self.specs))]
        if len(parts) != len(self.specs):
            raise SpecError(
                f"The value has {len(parts)} entries along dimension {self.dim}, the lazy stack "
                f"{len(self.specs)} parts: give one per part."
            )
        return list(zip(self.specs, parts, strict=True))

    def is_in(self, val: Any) -> bool:  # noqa: ANN401
        """Return whether every part holds its element of `val`."""
        at = val.ndim - self.ndim + self.dim if is_tensor_collection(val) else -1
        if at < 0 or val.batch_size[at] != len(self.specs):
            return False
        return all(spec.is_in(part) for spec, part in self._parts_of(val))

    def assert_is_in(self, value: Any) -> None:  # noqa: ANN401
        """Raise unless every part holds its element; the message names the key."""
        for spec, part in self._parts_of(value):
            spec.assert_is_in(part)

    def type_check(self, value: Any, selected_keys: Any = None) -> None:  # noqa: ANN401
        """Raise unless the entries of every element have their spec's dtype."""
        for spec, part in self._parts_of(value):
            spec.type_check(part, selected_keys)

    def project(self, val: Any) -> LazyStackedTensorDict:  # noqa: ANN401
        """Return the data with every element projected on its part."""
        parts = self._parts_of(val)
        extra = val.ndim - self.ndim
        return _lazy([spec.project(part) for spec, part in parts], self.dim + extra)

    def encode(self, val: Any, *, ignore_device: bool = False) -> LazyStackedTensorDict:  # noqa: ANN401
        """Return a TensorDict, a list with a mapping per part, or a mapping, encoded."""
        pairs = self._parts_of(val)
        values = [spec.encode(part, ignore_device=ignore_device) for spec, part in pairs]
        return _lazy(values, self.dim + values[0].ndim - self.specs[0].ndim)

    def to_numpy(self, val: Any, safe: bool | None = None) -> list[dict]:  # noqa: ANN401
        """Return a list with the dict of numpy values of each part."""
        if safe:
            self.assert_is_in(val)
        return [spec.to_numpy(part) for spec, part in self._parts_of(val)]

    def cardinality(self) -> int | float:
        """Return the product of the parts' cardinalities."""
        return math.prod(spec.cardinality() for spec in self.specs)

    def enumerate(self, use_mask: bool = False) -> Any:  # noqa: ANN401
        """Raise: the parts have different values."""
        raise NotImplementedError("A lazy stack cannot be enumerated: enumerate its parts.")

    def clear_device_(self) -> Self:
        """Forget the device here and in the parts."""
        self.device = None
        return super().clear_device_()

    __hash__ = None

    def __repr__(self) -> str:
        parts = "".join(
            f"    {i}: {str(spec).replace(chr(10), chr(10) + '    ')},\n"
            for i, spec in enumerate(self.specs)
        )
        return f"StackedComposite(\n{parts}    shape={list(self.shape)}, dim={self.dim})"


def _lazy(values: list, dim: int) -> LazyStackedTensorDict:
    return LazyStackedTensorDict.lazy_stack(values, dim)


def _part(value: Any, i: int, dim: int) -> Any:  # noqa: ANN401
    """Return the i-th element along `dim` of the leaves of a mapping."""
    if isinstance(value, Mapping):
        return {key: _part(item, i, dim) for key, item in value.items()}
    if isinstance(value, Tensor) or is_non_tensor(value):
        return (
            value.select(dim, i)
            if isinstance(value, Tensor)
            else value[(slice(None),) * dim + (i,)]
        )
    return np.take(np.asarray(value), i, axis=dim)


def _check_parts(specs: Sequence[TensorSpec], composite: bool) -> None:
    """Raise unless the specs can lie side by side.

    Raises:
        SpecError: there are none, or they differ in kind, batch shape or dimensions.
    """
    if not specs:
        raise SpecError("A stack of specs needs at least one spec, got none.")
    if any(not isinstance(spec, TensorSpec) for spec in specs):
        raise SpecError("A stack of specs takes specs only: wrap each value in a spec.")
    if any(isinstance(spec, Composite) is not composite for spec in specs):
        raise SpecError(
            "Leaves and composites cannot be stacked together: put the leaf into a `Composite`."
        )
    shapes = [list(spec.shape) for spec in specs]
    if composite and any(shape != shapes[0] for shape in shapes):
        raise SpecError(
            f"Composites of batch shapes {shapes} cannot be stacked: expand them to one shape."
        )
    if any(len(shape) != len(shapes[0]) for shape in shapes):
        raise SpecError(
            f"Specs of shapes {shapes} cannot be stacked: give them the same number of dimensions "
            "(`unsqueeze`)."
        )


def _stacked_shape(specs: Sequence[TensorSpec], dim: int) -> torch.Size:
    """Return the shape of the stack, -1 where the parts differ."""
    sizes = [
        column[0] if all(size == column[0] for size in column) else -1
        for column in zip(*(spec.shape for spec in specs), strict=True)
    ]
    return torch.Size([*sizes[:dim], len(specs), *sizes[dim:]])


@implements(torch.stack)
def stack_specs(specs: Sequence[TensorSpec], dim: int = 0, *, out: None = None) -> TensorSpec:
    """Return the spec of stacked values: dense if the specs can be merged, else lazy.

    Args:
        specs: specs of one kind, dtype and number of dimensions.
        dim: where the new dimension goes.
        out: not supported, as `torch.stack` passes it.

    Raises:
        SpecError: the specs differ in kind, dtype, device or number of dimensions.

    Example:
        >>> from rl.core.specs import Bounded
        >>> torch.stack([Bounded(0, 1, (3,)), Bounded(0, 2, (3,))]).shape
        torch.Size([2, 3])
    """
    if out is not None:
        raise SpecError("`torch.stack` of specs has no `out`: leave it out.")
    return _stack(list(specs), dim, mixed=False)


def _stack(specs: Sequence[TensorSpec], dim: int, mixed: bool) -> TensorSpec:
    """Stack; `mixed` allows leaves of different kinds, as entries of composites may have."""
    composite = bool(specs) and isinstance(specs[0], Composite)
    _check_parts(specs, composite)
    first = specs[0]
    if not -first.ndim - 1 <= dim <= first.ndim:
        raise SpecError(
            f"Dimension {dim} is out of range for a stack of specs of shape {list(first.shape)}: "
            f"give one of {-first.ndim - 1}..{first.ndim}."
        )
    dim = dim % (first.ndim + 1)
    if not composite and not mixed:
        _check_kinds(specs)
    dense = _dense(specs, dim)
    if dense is not None:
        return dense
    if composite:
        return StackedComposite(*specs, dim=dim)
    first.unsqueeze(dim)  # refuses a dimension behind the domain
    return Stacked(*specs, dim=dim)


def _check_kinds(specs: Sequence[TensorSpec]) -> None:
    """Raise unless leaves agree in kind, dtype and device.

    Raises:
        SpecError: they do not.
    """
    for name, facts in (
        ("kinds", {(spec._family or type(spec)).__name__ for spec in specs}),
        ("dtypes", {str(spec.dtype) for spec in specs}),
        ("devices", {str(spec.device) for spec in specs}),
    ):
        if len(facts) > 1:
            raise SpecError(
                f"Specs of different {name} ({', '.join(sorted(facts))}) cannot be stacked: make "
                "them agree, or put each into a `Composite` under one key."
            )


def _dense(specs: Sequence[TensorSpec], dim: int) -> TensorSpec | None:
    """Return the stack as a spec of the parts' own kind, or None."""
    first = specs[0]
    if all(spec == first for spec in specs):
        sizes = [-1] * (first.ndim + 1)
        sizes[dim] = len(specs)
        return first.unsqueeze(dim).expand(sizes)
    family = first._family or type(first)
    if any((spec._family or type(spec)) is not family for spec in specs):
        return None
    if not isinstance(first, Composite):
        return first._stack_dense(specs, dim)
    return _dense_composite(specs, dim) if type(first) is Composite else None


def _dense_composite(specs: Sequence[Composite], dim: int) -> Composite | None:
    first = specs[0]
    entries: dict[str, TensorSpec | None] = {}
    bare = [spec.empty() for spec in specs]
    if any(spec != bare[0] for spec in bare):
        return None
    if any(spec._specs.keys() != first._specs.keys() for spec in specs):
        return None
    for name in first._specs:
        parts = [spec._specs[name] for spec in specs]
        if all(part is None for part in parts):
            entries[name] = None
            continue
        if any(part is None or part.ndim != parts[0].ndim for part in parts):
            return None
        merged = _dense(parts, dim)
        if merged is None:
            return None
        entries[name] = merged
    out = _dense(bare, dim)
    out._specs = entries
    return out
