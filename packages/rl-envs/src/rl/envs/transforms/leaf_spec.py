"""Specs of transformed leaves: what becomes of bounds, shape and dtype under a map of tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from rl.core.contract.keys import NestedKey
from rl.core.specs import (
    Binary,
    Bounded,
    Categorical,
    Composite,
    TensorSpec,
    Unbounded,
)

__all__ = [
    "clamp_bounds",
    "has_bounds",
    "join_specs",
    "leaf_keys",
    "map_bounds",
    "put_leaf",
    "rearrange",
    "unbounded_like",
]


def leaf_keys(spec: Composite) -> list[NestedKey]:
    """Return the keys of all leaves, nested ones as tuples."""
    return list(spec.keys(True, True))


def has_bounds(spec: TensorSpec) -> bool:
    """Tell whether the spec is an interval with numbers on both sides."""
    return isinstance(spec, Bounded)


def unbounded_like(
    spec: TensorSpec, *, shape: torch.Size | None = None, dtype: torch.dtype | None = None
) -> Unbounded:
    """Return an unbounded spec with the shape, dtype and device of `spec` where not given."""
    return Unbounded(
        shape=spec.shape if shape is None else shape,
        dtype=spec.dtype if dtype is None else dtype,
        device=spec.device,
    )


def map_bounds(spec: TensorSpec, function: Callable[[Tensor], Tensor]) -> TensorSpec:
    """Return the spec of `function(x)` for a map that is monotone in every element it reads.

    Bounds follow the map; a spec without bounds keeps none. The function sees tensors of the spec's
    shape, so it may change shape and dtype too.

    Example:
        >>> spec = map_bounds(Bounded(-1.0, 1.0, shape=(2,)), lambda x: 3 - 2 * x)
        >>> spec.space.low, spec.space.high
        (tensor([1., 1.]), tensor([5., 5.]))
    """
    if has_bounds(spec):
        first, second = function(spec.space.low), function(spec.space.high)
        return Bounded(
            low=torch.minimum(first, second),
            high=torch.maximum(first, second),
            shape=first.shape,
            dtype=first.dtype,
            device=spec.device,
        )
    probe = function(spec.zero())
    return unbounded_like(spec, shape=probe.shape, dtype=probe.dtype)


def rearrange(spec: TensorSpec, function: Callable[[Tensor], Tensor]) -> TensorSpec:
    """Return the spec of `function(x)` for a map that only moves elements, such as a view."""
    if has_bounds(spec):
        return map_bounds(spec, function)
    probe = function(spec.zero())
    if probe.shape == spec.shape:
        return spec
    if isinstance(spec, Binary):
        return Binary(shape=probe.shape, dtype=spec.dtype, device=spec.device)
    if isinstance(spec, Categorical):
        return Categorical(spec.space.n, shape=probe.shape, dtype=spec.dtype, device=spec.device)
    return unbounded_like(spec, shape=probe.shape)


def put_leaf(spec: Composite, key: NestedKey, leaf: TensorSpec, shape: torch.Size) -> None:
    """Write `leaf` under `key`; a group that is not there yet is made with batch size `shape`."""
    if isinstance(key, tuple) and len(key) > 1:
        head = key[0]
        if head not in spec:
            spec[head] = Composite(shape=shape, device=spec.device)
        group = spec[head]
        put_leaf(group, key[1] if len(key) == 2 else key[1:], leaf, shape)
        spec[head] = group
        return
    spec[key if isinstance(key, str) else key[0]] = leaf


def clamp_bounds(spec: TensorSpec, low: float | None, high: float | None) -> TensorSpec:
    """Return the spec of a value clamped to `[low, high]`; None stands for no limit on that side.

    Example:
        >>> spec = clamp_bounds(Unbounded(shape=(1,)), -1.0, 2.0)
        >>> spec.space.low, spec.space.high
        (tensor([-1.]), tensor([2.]))
    """
    if has_bounds(spec):
        return map_bounds(spec, lambda x: torch.clamp(x, low, high))
    if low is None and high is None:
        return spec
    limits = torch.finfo(spec.dtype) if spec.dtype.is_floating_point else torch.iinfo(spec.dtype)
    return Bounded(
        low=limits.min if low is None else low,
        high=limits.max if high is None else high,
        shape=spec.shape,
        dtype=spec.dtype,
        device=spec.device,
    )


def join_specs(
    specs: Sequence[TensorSpec], function: Callable[[Sequence[Tensor]], Tensor]
) -> TensorSpec:
    """Return the spec of leaves joined by `function` (a concatenation or a stack).

    Bounds are kept where every part has them; bits stay bits.

    Example:
        >>> parts = [Bounded(0, 1, shape=(1,)), Bounded(-2, 2, shape=(2,))]
        >>> join_specs(parts, torch.cat).space.low
        tensor([ 0., -2., -2.])
    """
    device = specs[0].device
    if all(has_bounds(spec) for spec in specs):
        low = function([spec.space.low for spec in specs])
        high = function([spec.space.high for spec in specs])
        return Bounded(low=low, high=high, shape=low.shape, dtype=low.dtype, device=device)
    probe = function([spec.zero() for spec in specs])
    if all(isinstance(spec, Binary) for spec in specs):
        return Binary(shape=probe.shape, dtype=probe.dtype, device=device)
    return Unbounded(shape=probe.shape, dtype=probe.dtype, device=device)
