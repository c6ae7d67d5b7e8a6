"""The check of an action against its spec, made once per dtype and shape."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from tensordict import NestedKey, TensorDictBase
from torch import Tensor

from rl.core import MissingKeyError, SpecError, TensorSpec, nearest

if TYPE_CHECKING:
    from rl.envs.base import EnvBase

__all__ = ["ActionCheck"]


class ActionCheck:
    """Raise at the first action that cannot be meant; cost two lookups per step afterwards.

    The dtype must be of the spec's kind (floating, or integer and bool), the shape the spec's, and
    the first discrete action must lie in the domain. Continuous actions out of bounds are left to
    the env.

    Args:
        env: the env whose action specs count.
    """

    def __init__(self, env: EnvBase) -> None:
        self._env = env
        self._seen: set[tuple] = set()

    def __call__(self, tensordict: TensorDictBase) -> None:
        """Check the actions of `tensordict`."""
        for key in self._env.keys_plan.action_keys:
            action = tensordict.get(key, None)
            if action is None:
                raise self._missing(key, tensordict)
            if isinstance(action, Tensor):
                signature = (key, action.dtype, action.shape)
                if signature not in self._seen:
                    self._check(key, action, tensordict)
                    self._seen.add(signature)

    def forget(self) -> None:
        """Check again from the next action on, as after a change of spec."""
        self._seen.clear()

    def _missing(self, key: NestedKey, tensordict: TensorDictBase) -> MissingKeyError:
        present = [str(k) for k in tensordict.keys(True, True)]
        return MissingKeyError(
            f"The action `{key}` of {type(self._env).__name__} is not in the TensorDict (keys: "
            f"{present}). {nearest(str(key), present)} "
            f"Let the policy write it (`out_keys=[{key!r}]`)."
        )

    def _check(self, key: NestedKey, action: Tensor, tensordict: TensorDictBase) -> None:
        spec = self._env.full_action_spec[key]
        name = type(self._env).__name__
        if action.dtype.is_floating_point != spec.dtype.is_floating_point:
            raise SpecError(
                f"`{key}` has dtype {action.dtype}, expected {spec.dtype} by the "
                f"{type(spec).__name__} "
                f"action spec of {name}: {_dtype_fix(spec)}"
            )
        extra = tensordict.batch_size[: tensordict.ndim - self._env.ndim]
        expected = torch.Size([*extra, *spec.shape])
        if action.shape != expected and -1 not in spec.shape:
            raise SpecError(
                f"`{key}` has shape {list(action.shape)}, expected {list(expected)} by the "
                f"{type(spec).__name__} action spec of {name}: reshape the policy's output."
            )
        if not spec.dtype.is_floating_point and not extra and not spec.is_in(action.to(spec.dtype)):
            raise SpecError(
                f"`{key}` is not in the domain of the {type(spec).__name__} action spec of "
                f"{name}; got "
                f"{action.tolist()}: {_dtype_fix(spec)}"
            )


def _dtype_fix(spec: TensorSpec) -> str:
    if spec.dtype.is_floating_point:
        return "cast the action to float."
    return (
        "sample the action from a distribution (`ProbabilisticActor(..., distribution_class="
        "OneHotCategorical)`) or take the greedy one (`QValueActor`) instead of writing scores; "
        "build the env with `categorical_action_encoding=True` for integer actions."
    )
