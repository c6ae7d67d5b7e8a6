"""The conformance kit of specs: do the set, its members and its shapes agree?"""

from __future__ import annotations

import copy
from typing import Any

import torch
from tensordict import TensorDictBase
from torch import Tensor

from rl.core.specs.base import TensorSpec
from rl.core.specs.composite import Composite

__all__ = ["check_spec"]

#: draws of each check
_DRAWS = 16


def check_spec(
    spec: TensorSpec, *, numpy: bool = True, projects: bool = True, rows: bool = True
) -> None:
    """Raise unless `spec` is one set of values, however it is reshaped, copied or moved.

    It checks that draws, and zeros where they are allowed, lie inside with the shape, dtype and
    device that the spec tells; that projection brings what is outside inside and leaves what is
    inside alone; that `encode` undoes `to_numpy`; that expanding, unsqueezing, stacking and
    indexing give specs of the data that are expanded, unsqueezed, stacked and indexed; and that
    clones, copies and specs on another device are equal to it and independent.

    Args:
        spec: the spec, whose sizes are known.
        numpy: whether values have a numpy form that `encode` takes back.
        projects: whether values outside can be brought inside.
        rows: whether the values of batch elements are independent.

    Raises:
        AssertionError: names the property that does not hold.

    Example:
        >>> from rl.core.specs import Bounded
        >>> check_spec(Bounded(-1.0, 1.0, (3,)))
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        _check_draws(spec)
        if projects:
            _check_projection(spec)
        if numpy:
            _check_numpy(spec)
        _check_shapes(spec)
        if rows:
            _check_rows(spec)
        _check_copies(spec)


def _require(condition: bool, spec: TensorSpec, message: str) -> None:
    if not condition:
        raise AssertionError(f"{type(spec).__name__} conformance: {message}.")


def _check_draws(spec: TensorSpec) -> None:
    for lead in ((), (3,), (2, 3)):
        for _ in range(_DRAWS):
            value = spec.rand(lead)
            shape = torch.Size((*lead, *spec.shape))
            found = list(value.shape)
            _require(
                value.shape == shape, spec, f"rand({lead}) has shape {found}, not {list(shape)}"
            )
            if isinstance(value, Tensor) and spec.dtype is not None:
                same = value.dtype == spec.dtype
                _require(same, spec, f"a draw is {value.dtype}, the spec {spec.dtype}")
            _require(spec.is_in(value), spec, f"a draw of rand({lead}) lies outside")
        zero = spec.zero(lead)
        _require(zero.shape == (*lead, *spec.shape), spec, f"zero({lead}) has another shape")
    spec.assert_is_in(spec.rand())


def _check_projection(spec: TensorSpec) -> None:
    for _ in range(_DRAWS):
        inside = spec.rand()
        kept = spec.project(_cloned(inside))
        _require(_equal(kept, inside), spec, "`project` changes a value that is inside")
        outside = _disturbed(inside)
        given = _cloned(outside)
        projected = spec.project(outside)
        _require(spec.is_in(projected), spec, "`project` gives a value that is outside")
        again = spec.project(_cloned(projected))
        _require(_equal(again, projected), spec, "`project` twice is not `project` once")
        if isinstance(given, Tensor):
            _require(_equal(outside, given), spec, "`project` changes the value given in place")


def _check_numpy(spec: TensorSpec) -> None:
    for _ in range(_DRAWS):
        value = spec.rand()
        back = spec.encode(spec.to_numpy(value))
        _require(_equal(back, value), spec, "`encode` does not undo `to_numpy`")
        _require(spec.is_in(back), spec, "`encode` gives a value that is outside")


def _check_shapes(spec: TensorSpec) -> None:
    wide = spec.expand(3, *spec.shape)
    _require(wide.shape == (3, *spec.shape), spec, "`expand` gives another shape")
    value = wide.rand()
    _require(wide.is_in(value), spec, "a draw of an expanded spec lies outside of it")
    _require(_alike(wide[1], spec), spec, "`expand` and then an index is another set")
    single = spec.unsqueeze(0)
    _require(single.shape == (1, *spec.shape), spec, "`unsqueeze` gives another shape")
    _require(single.squeeze(0) == spec, spec, "`unsqueeze` and then `squeeze` is another spec")
    stacked = torch.stack([spec, spec.clone()], 0)
    _require(stacked.shape == (2, *spec.shape), spec, "`torch.stack` gives another shape")
    _require(_alike(stacked[0], spec), spec, "a part of a stack is another set")


def _check_rows(spec: TensorSpec) -> None:
    wide = spec.expand(3, *spec.shape)
    inside = all(spec.is_in(wide.rand()[row]) for row in range(3))
    _require(inside, spec, "a row of an expanded spec's draw lies outside of the spec")
    stacked = torch.stack([spec, spec.clone()], 0)
    for _ in range(_DRAWS):
        rows = torch.stack([spec.rand(), spec.rand()], 0)
        _require(stacked.is_in(rows), spec, "a stack of draws lies outside of the stacked spec")


def _alike(first: TensorSpec, second: TensorSpec) -> bool:
    """Return whether two specs are equal, or hold each other's draws (a dense and a lazy stack)."""
    return first == second or (
        first.shape == second.shape
        and all(first.is_in(second.rand()) and second.is_in(first.rand()) for _ in range(_DRAWS))
    )


def _check_copies(spec: TensorSpec) -> None:
    before = repr(spec)
    for name, twin in {"clone": spec.clone(), "deep copy": copy.deepcopy(spec)}.items():
        _require(twin == spec, spec, f"a {name} is not equal")
        _require(twin is not spec, spec, f"a {name} is the spec itself")
        _require(twin.is_in(spec.rand()), spec, f"a draw lies outside of a {name}")
    moved = spec.to("cpu")
    _require(moved.to(spec.device or "cpu") == spec.to("cpu"), spec, "`to` gives another spec")
    _require(spec != spec.unsqueeze(0), spec, "it is equal to a spec of another shape")
    if isinstance(spec, Composite):
        twin = spec.clone()
        twin["check_spec"] = None
        _require("check_spec" not in spec, spec, "a clone shares its entries")
    _require(repr(spec) == before, spec, "the checks changed the spec")


def _cloned(value: Any) -> Any:  # noqa: ANN401 (a draw)
    return value.clone() if isinstance(value, Tensor | TensorDictBase) else value


def _disturbed(value: Any) -> Any:  # noqa: ANN401
    """Return a value of the same shape and dtype that is, mostly, outside of any bounds."""
    if isinstance(value, TensorDictBase):
        return value.apply(_disturbed)
    if not isinstance(value, Tensor):
        return value
    if value.dtype is torch.bool:
        return ~value
    if value.is_floating_point():
        return value + torch.randn_like(value) * 1e3
    return value + torch.randint(-100, 100, value.shape).to(value.dtype)


def _equal(first: Any, second: Any) -> bool:  # noqa: ANN401
    if isinstance(first, Tensor):
        alike = first.shape == second.shape and first.dtype == second.dtype
        return alike and torch.allclose(first.double(), second.double(), equal_nan=True)
    if isinstance(first, TensorDictBase):
        keys = set(first.keys(True, True))
        return keys == set(second.keys(True, True)) and all(
            _equal(first.get(key), second.get(key)) for key in keys
        )
    return bool(first == second)
