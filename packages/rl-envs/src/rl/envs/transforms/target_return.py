"""TargetReturn: the return that is still to be collected."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from tensordict import TensorDictBase

from rl.core.contract.keys import NestedKey
from rl.core.errors import SpecError
from rl.core.specs import Composite, TensorSpec, Unbounded
from rl.core.transform import Transform
from rl.envs.transforms.done_groups import expand_mask, find_mask
from rl.envs.transforms.leaf_spec import leaf_keys, put_leaf

__all__ = ["TargetReturn"]


class TargetReturn(Transform):
    """Give the return that is still wanted: a target at reset, less each reward that came.

    See Chen et al. 2021 (Decision Transformer), section 3.

    Reads:
        reward: `[*B, 1]`.
        target_return: `[*B, 1]`, of the previous step.
    Writes:
        target_return: `[*B, 1]`; `target_return` after reset.

    Args:
        target_return: the return to aim at.
        mode: `"reduce"` to subtract the rewards, `"constant"` to keep the target.
        in_keys: rewards; `["reward"]` by default.
        out_keys: one key per reward; `["target_return"]` by default.
        reset_key: the mask of a partial reset; by default the one that governs the entry.

    Raises:
        SpecError: `mode` has another name, or the numbers of keys differ.

    Example:
        >>> from tensordict import TensorDict
        >>> target = TargetReturn(10.0)
        >>> td = TensorDict({"target_return": torch.tensor([10.0])})
        >>> target._step(td, TensorDict({"reward": torch.ones(1)}))["target_return"]
        tensor([9.])
    """

    batchable = True

    def __init__(
        self,
        target_return: float,
        mode: str = "reduce",
        in_keys: Sequence[NestedKey] | None = None,
        out_keys: Sequence[NestedKey] | None = None,
        reset_key: NestedKey | None = None,
    ) -> None:
        if mode not in ("reduce", "constant"):
            raise SpecError(f'`mode` is {mode!r}: give "reduce" or "constant".')
        super().__init__(
            in_keys=["reward"] if in_keys is None else in_keys,
            out_keys=["target_return"] if out_keys is None else out_keys,
        )
        if len(self.in_keys) != len(self.out_keys):
            raise SpecError(
                f"`out_keys` has {len(self.out_keys)} keys, expected {len(self.in_keys)}: give "
                "one per reward."
            )
        self.target_return = float(target_return)
        self.mode = mode
        self.reset_key = reset_key
        self._rewards: dict[NestedKey, TensorSpec] = {}

    def _step(self, tensordict: TensorDictBase, next_tensordict: TensorDictBase) -> TensorDictBase:
        for in_key, out_key in zip(self.in_keys, self.out_keys, strict=True):
            target = tensordict[out_key]
            if self.mode == "reduce":
                target = target - next_tensordict[in_key]
            next_tensordict.set(out_key, target)
        return next_tensordict

    def _reset(
        self, tensordict: TensorDictBase | None, tensordict_reset: TensorDictBase
    ) -> TensorDictBase:
        for in_key, out_key in zip(self.in_keys, self.out_keys, strict=True):
            spec = self._rewards.get(in_key)
            shape = (*tensordict_reset.shape, 1) if spec is None else spec.shape
            dtype = torch.get_default_dtype() if spec is None else spec.dtype
            target = torch.full(
                shape, self.target_return, dtype=dtype, device=tensordict_reset.device
            )
            place = out_key if self.reset_key is None else self.reset_key
            mask = find_mask(tensordict, () if isinstance(place, str) else place[:-1])
            old = None if mask is None else tensordict.get(out_key, None)
            if old is not None:
                target = torch.where(expand_mask(mask, target), target, old)
            tensordict_reset.set(out_key, target)
        return tensordict_reset

    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Refuse: rows sampled from a buffer need not follow each other.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(
            "`TargetReturn` follows the episode of an env: add it to an env with "
            "`TransformedEnv`, and use `Reward2GoTransform` on stored data."
        )

    def transform_output_spec(self, output_spec: Composite) -> Composite:
        """Add the targets to the observations."""
        rewards = output_spec["full_reward_spec"]
        for key in self.in_keys:
            if key not in leaf_keys(rewards):
                raise self._missing(key, leaf_keys(rewards))
        self._rewards = {
            key: Unbounded(
                shape=rewards[key].shape, dtype=rewards[key].dtype, device=rewards[key].device
            )
            for key in self.in_keys
        }
        output_spec["full_observation_spec"] = self._add(output_spec["full_observation_spec"])
        return output_spec

    def transform_state_spec(self, state_spec: Composite) -> Composite:
        """Declare the targets as inputs: a step reads the ones before it."""
        return self._add(state_spec)

    def _add(self, spec: Composite) -> Composite:
        for in_key, out_key in zip(self.in_keys, self.out_keys, strict=True):
            if in_key in self._rewards:
                leaf = self._rewards[in_key].clone()
                put_leaf(spec, out_key, leaf, leaf.shape[:-1])
        return spec
