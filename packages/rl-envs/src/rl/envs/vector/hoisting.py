"""Hoisting: when all envs wear the same batchable transform, one serves the whole batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from rl.core import Transform
from rl.envs.base import EnvBase
from rl.envs.transformed import TransformedEnv

__all__ = ["batchable_transform", "common_transform", "strip"]

#: what ties a transform to its env, and says nothing about what it does
_TIES = frozenset({"_container", "_parent", "training"})


def batchable_transform(env: EnvBase) -> Transform | None:
    """Return a copy of the transform of `env` if it can act on a batch of envs, else None."""
    if type(env) is not TransformedEnv or not env.transform.batchable:
        return None
    return env.transform.clone()


def strip(env: EnvBase) -> EnvBase:
    """Return the env under the transform."""
    return env.base_env


def common_transform(transforms: Sequence[Transform | None]) -> Transform | None:
    """Return the transform that all envs share, or None when one differs from another.

    Transforms are the same when their types, keys, settings and state are.
    """
    first = transforms[0]
    if first is None or not all(same(first, other) for other in transforms[1:]):
        return None
    return first


def same(one: Any, other: Any) -> bool:  # noqa: ANN401
    """Tell whether two settings are equal; modules are compared by type, settings and state."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, torch.Tensor):
        return one.shape == other.shape and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, nn.Module):
        return same(_settings(one), _settings(other))
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    try:
        return bool(one == other)
    except (RuntimeError, ValueError, TypeError):  # an equality that is no single truth
        return False


def _settings(module: nn.Module) -> dict[str, Any]:
    return {name: value for name, value in vars(module).items() if name not in _TIES}
