"""Gym spaces: the spec that describes a space, and the codecs of its leaves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from rl.core.contract.keys import NestedKey
from rl.core.specs import Composite, TensorSpec
from rl.envs.libs.gym_codecs import LeafCodec, codec_of, has_converter, is_dict_space

__all__ = ["gym_space_to_spec", "leaf_codecs", "value_at"]


def gym_space_to_spec(
    space: Any,  # noqa: ANN401
    *,
    categorical_action_encoding: bool = False,
    device: torch.device | str | None = None,
    float32: bool = False,
) -> TensorSpec:
    """Describe a gym space by a spec.

    `Discrete` is one-hot unless `categorical_action_encoding`; `MultiDiscrete` likewise (equal
    sizes give `[k, n]`, others one concatenated row); `Box` is bounded when one of its limits is
    finite; `Dict` is a `Composite`; `Tuple` a stack along dim 0; `Text` a `NonTensor`; `Sequence`
    has a leading -1.

    Args:
        space: the space.
        categorical_action_encoding: whether discrete values are indices rather than one-hot rows.
        device: device of the spec.
        float32: whether float64 boxes are described (and delivered) as float32.

    Raises:
        SpecError: when the space has no spec, such as a `Tuple` of several kinds.

    Example:
        >>> import gymnasium
        >>> gym_space_to_spec(gymnasium.spaces.Discrete(3)).shape
        torch.Size([3])
    """
    if is_dict_space(space) and not has_converter(space):
        members = {
            key: gym_space_to_spec(
                member,
                categorical_action_encoding=categorical_action_encoding,
                device=device,
                float32=float32,
            )
            for key, member in space.spaces.items()
        }
        return Composite(members, device=device)
    return codec_of(space, categorical_action_encoding, float32).spec(device)


def leaf_codecs(
    space: Any,  # noqa: ANN401
    key: NestedKey | None,
    *,
    categorical: bool = False,
    float32: bool = False,
) -> list[tuple[NestedKey, tuple[str, ...], LeafCodec]]:
    """Return, for each leaf of `space`, its key, its path in the gym value and its codec.

    Args:
        space: the space.
        key: the key of the value; None puts the members of a `Dict` at the root.
        categorical: whether discrete values are indices.
        float32: whether float64 boxes are delivered as float32.
    """
    prefix = () if key is None else (key,) if isinstance(key, str) else key
    return [
        (full if len(full) > 1 else full[0], path, codec)
        for path, codec in _walk(space, (), categorical, float32)
        for full in [(*prefix, *path)]
    ]


def _walk(
    space: Any,  # noqa: ANN401
    path: tuple[str, ...],
    categorical: bool,
    float32: bool,
) -> Iterator[tuple[tuple[str, ...], LeafCodec]]:
    if not has_converter(space) and is_dict_space(space):
        for name, member in space.spaces.items():
            yield from _walk(member, (*path, name), categorical, float32)
    else:
        yield path, codec_of(space, categorical, float32)


def value_at(value: Mapping | Any, path: Sequence[str]) -> Any:  # noqa: ANN401
    """Return the member of a nested gym value."""
    for name in path:
        value = value[name]
    return value
