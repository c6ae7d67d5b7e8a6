"""Specs read off data."""

from __future__ import annotations

from typing import Any

import torch
from tensordict import (
    LazyStackedTensorDict,
    NonTensorStack,
    TensorDictBase,
    is_non_tensor,
    is_tensor_collection,
)

from rl.core.specs.base import TensorSpec
from rl.core.specs.composite import Composite
from rl.core.specs.nontensor import NonTensor
from rl.core.specs.unbounded import Unbounded

__all__ = ["make_composite_from_td"]


def make_composite_from_td(
    data: TensorDictBase, *, unsqueeze_null_shapes: bool = True, dynamic_shape: bool = False
) -> Composite:
    """Return the composite of unbounded specs that describes a TensorDict.

    Args:
        data: a TensorDict or tensorclass; a tensorclass becomes the spec's `data_cls`.
        unsqueeze_null_shapes: give entries of shape `[]` the shape `[1]`.
        dynamic_shape: replace the sizes behind the batch shape with -1.

    Example:
        >>> from tensordict import TensorDict
        >>> td = TensorDict(obs=torch.zeros(3, 2), batch_size=[3])
        >>> make_composite_from_td(td)["obs"].shape
        torch.Size([3, 2])
    """
    flags = {"unsqueeze_null_shapes": unsqueeze_null_shapes, "dynamic_shape": dynamic_shape}
    if isinstance(data, LazyStackedTensorDict):
        dim = data.stack_dim
        return torch.stack(
            [make_composite_from_td(part, **flags) for part in data.unbind(dim)], dim
        )
    out = Composite(
        shape=data.batch_size,
        device=data.device,
        data_cls=None if isinstance(data, TensorDictBase) else type(data),
        names=data.names if any(data.names) else None,
    )
    for key in data.keys():  # noqa: SIM118 (iterating a TensorDict goes along its batch)
        out.set(key, _entry_spec(data.get(key), len(data.batch_size), flags))
    return out


def _entry_spec(value: Any, batch_dims: int, flags: dict[str, bool]) -> TensorSpec | None:  # noqa: ANN401
    if value is None:
        return None
    if is_non_tensor(value):
        stacked = isinstance(value, NonTensorStack)
        example = value.tolist() if stacked else value.data
        return NonTensor(value.batch_size, value.device, example_data=example, batched=stacked)
    if is_tensor_collection(value):
        return make_composite_from_td(value, **flags)
    shape = list(value.shape) or ([1] if flags["unsqueeze_null_shapes"] else [])
    if flags["dynamic_shape"]:
        shape = [*shape[:batch_dims], *[-1] * (len(shape) - batch_dims)]
    return Unbounded(shape, value.device, value.dtype)
