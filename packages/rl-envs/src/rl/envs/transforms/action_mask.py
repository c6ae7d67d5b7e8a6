"""ActionMask: random actions that the env allows."""

from __future__ import annotations

from typing import Any

import torch
from tensordict import TensorDictBase

from rl.core.contract.keys import NestedKey, unravel_key
from rl.core.errors import RLError, SpecError
from rl.core.specs import Composite
from rl.core.transform import Transform
from rl.envs.transforms.flag_groups import expand_mask, find_mask

__all__ = ["ActionMask"]


class ActionMask(Transform):
    """Keep the action spec of the env in step with the mask that it observes.

    `env.rand_action()`, `env.action_spec.rand()`, `project` and `is_in` then know which actions are
    allowed now. In a vector env, put the transform around it (`TransformedEnv(SerialEnv(...),
    ActionMask())`): the mask then has a row per env.

    Reads:
        action_mask: `[*B, n]` bool.

    Args:
        action_key: key of the action.
        mask_key: key of the mask.

    Raises:
        MissingKeyError: the env has no such mask.
        SpecError: the action is not categorical or one-hot.

    Example:
        >>> ActionMask().mask_key
        'action_mask'
    """

    batchable = False

    def __init__(
        self, action_key: NestedKey = "action", mask_key: NestedKey = "action_mask"
    ) -> None:
        super().__init__(in_keys=[mask_key], in_keys_inv=[action_key])
        self.action_key = unravel_key(action_key)
        self.mask_key = unravel_key(mask_key)

    def _env(self) -> Any:  # noqa: ANN401 (the env that is seen from outside)
        holder = self.container
        while isinstance(holder, Transform):
            holder = holder.container
        if holder is None:
            raise RLError(
                "`ActionMask` sets the mask of an env's action spec, and has no env: add it to a "
                "`TransformedEnv`."
            )
        return holder

    def _feed(self, mask: torch.Tensor) -> None:
        self._env().full_action_spec[self.action_key].update_mask(mask)

    def _call(self, next_tensordict: TensorDictBase) -> TensorDictBase:
        mask = next_tensordict.get(self.mask_key, None)
        if mask is None:
            raise self._missing(self.mask_key, next_tensordict.keys(True, True))
        self._feed(mask.bool())
        return next_tensordict

    def _reset(
        self, tensordict: TensorDictBase | None, tensordict_reset: TensorDictBase
    ) -> TensorDictBase:
        new = tensordict_reset.get(self.mask_key, None)
        if new is None:
            raise self._missing(self.mask_key, tensordict_reset.keys(True, True))
        path = () if isinstance(self.mask_key, str) else self.mask_key[:-1]
        rows = find_mask(tensordict, path)
        old = None if rows is None else tensordict.get(self.mask_key, None)
        if old is not None:
            new = torch.where(expand_mask(rows, new), new, old)
        self._feed(new.bool())
        return tensordict_reset

    @property
    def has_inverse(self) -> bool:
        """Nothing changes on the way in."""
        return False

    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Set the mask of the env from a root, such as one that was stored.

        Raises:
            MissingKeyError: there is no mask.
            RLError: there is no env.
        """
        return self._call(tensordict)

    def transform_output_spec(self, output_spec: Composite) -> Composite:
        """Check that the mask is there."""
        known = output_spec["full_observation_spec"].keys(True, True)
        if self.mask_key not in known:
            raise self._missing(self.mask_key, known)
        return output_spec

    def transform_input_spec(self, input_spec: Composite) -> Composite:
        """Check that the action can be masked."""
        actions = input_spec["full_action_spec"]
        if self.action_key not in actions.keys(True, True):
            raise self._missing(self.action_key, actions.keys(True, True))
        spec = actions[self.action_key]
        if not hasattr(spec, "update_mask"):
            raise SpecError(
                f"`{self.action_key}` is a {type(spec).__name__}, and only categorical and one-hot "
                "actions can be masked: change the action space, or drop `ActionMask`."
            )
        return input_spec
