"""TargetReturn: the return that is still to be collected."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from tensordict import TensorDictBase

from rl.core.contract.keys import NestedKey
from rl.core.errors import SpecError
from rl.core.specs import Composite, TensorSpec
from rl.envs.transforms.flag_groups import expand_mask, find_mask
from rl.envs.transforms.leaf_spec import leaf_keys, unbounded_like
from rl.envs.transforms.tracker import Tracker

__all__ = ["TargetReturn"]


class TargetReturn(Tracker):
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
        self._batch_ndim = 0
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
            feature = (1,) if spec is None else spec.shape[self._batch_ndim :]
            shape = (*tensordict_reset.batch_size, *feature)
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

    def _resolve(self, output_spec: Composite) -> None:
        rewards = output_spec["full_reward_spec"]
        known = leaf_keys(rewards)
        for key in self.in_keys:
            if key not in known:
                raise self._missing(key, known)
        self._batch_ndim = output_spec.ndim
        self._rewards = {key: unbounded_like(rewards[key]) for key in self.in_keys}

    def _entries(self, batch_size: torch.Size) -> list[tuple[NestedKey, TensorSpec]]:
        pairs = zip(self.in_keys, self.out_keys, strict=True)
        return [(out, self._rewards[key].clone()) for key, out in pairs if key in self._rewards]
