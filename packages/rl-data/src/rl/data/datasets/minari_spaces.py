"""Gymnasium spaces of specs and of data, for files that Minari reads."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from rl.core.errors import SpecError
from rl.core.optional import optional
from rl.core.specs import (
    Binary,
    Bounded,
    Categorical,
    Composite,
    MultiCategorical,
    MultiOneHot,
    OneHot,
    TensorSpec,
    Unbounded,
)

__all__ = ["space_of_data", "space_of_spec"]

spaces = optional("gymnasium.spaces", extra="rl-data[minari]")


def space_of_spec(spec: TensorSpec) -> Any:  # noqa: ANN401 (a class of an optional library)
    """Return the space of what a spec describes, of one element without batch dimensions.

    Raises:
        SpecError: there is no such space.

    Example:
        >>> space_of_spec(Categorical(3))
        Discrete(3)
    """
    if isinstance(spec, Composite):
        return spaces.Dict({key: space_of_spec(spec[key]) for key in sorted(spec.keys())})
    if isinstance(spec, MultiOneHot | MultiCategorical):
        return spaces.MultiDiscrete(torch.as_tensor(spec.nvec).cpu().numpy())
    if isinstance(spec, OneHot) or (isinstance(spec, Categorical) and not spec.shape):
        return spaces.Discrete(int(spec.space.n))
    if isinstance(spec, Categorical):
        return spaces.MultiDiscrete(np.full(tuple(spec.shape), int(spec.space.n)))
    if isinstance(spec, Binary):
        return spaces.MultiBinary(tuple(spec.shape))
    if isinstance(spec, Bounded):
        low, high = spec.low.cpu().numpy(), spec.high.cpu().numpy()
        return spaces.Box(low, high, tuple(spec.shape), low.dtype.type)
    if isinstance(spec, Unbounded):
        return _box(tuple(spec.shape), spec.dtype)
    raise SpecError(
        f"Gymnasium has no space for a `{type(spec).__name__}`. Leave the spec out to take the "
        "space from the data."
    )


def space_of_data(data: Any) -> Any:  # noqa: ANN401
    """Return a space that holds every element of `[n, ...]` data.

    Example:
        >>> space_of_data(torch.zeros(5, 2, dtype=torch.bool))
        MultiBinary((2,))
    """
    if not isinstance(data, Tensor):
        return spaces.Dict({key: space_of_data(data.get(key)) for key in sorted(data.keys())})
    shape = tuple(data.shape[1:])
    if data.dtype is torch.bool:
        return spaces.MultiBinary(shape)
    return _box(shape, data.dtype)


def _box(shape: tuple[int, ...], dtype: torch.dtype) -> Any:  # noqa: ANN401
    kind = torch.empty(0, dtype=dtype).numpy().dtype
    if kind.kind == "f":
        return spaces.Box(-np.inf, np.inf, shape, kind.type)
    limits = np.iinfo(kind)
    return spaces.Box(limits.min, limits.max, shape, kind.type)
