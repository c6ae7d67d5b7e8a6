"""RewardTransform: the base of transforms that map each reward by itself."""

from __future__ import annotations

from collections.abc import Sequence

from tensordict import TensorDictBase

from rl.core.contract.keys import NestedKey
from rl.core.specs import Composite
from rl.core.transform import Transform
from rl.envs.transforms.leaf_spec import leaf_keys

__all__ = ["RewardTransform"]


class RewardTransform(Transform):
    """A map of rewards; by default of every reward of the env. There is no reward at reset.

    Args:
        in_keys: rewards read; every reward of the env by default (`reward` outside of an env).
        out_keys: keys written; `in_keys` by default.

    Example:
        >>> RewardTransform().in_keys
        ['reward']
    """

    def __init__(
        self,
        in_keys: Sequence[NestedKey] | None = None,
        out_keys: Sequence[NestedKey] | None = None,
    ) -> None:
        super().__init__(in_keys=["reward"] if in_keys is None else in_keys, out_keys=out_keys)
        self._every_reward = in_keys is None and out_keys is None
        self._plan = list(zip(self.in_keys, self.out_keys, strict=True))

    def _step(self, tensordict: TensorDictBase, next_tensordict: TensorDictBase) -> TensorDictBase:
        for in_key, out_key in self._plan:
            next_tensordict.set(out_key, self._apply_transform(next_tensordict[in_key]))
        return next_tensordict

    def _reset(
        self, tensordict: TensorDictBase | None, tensordict_reset: TensorDictBase
    ) -> TensorDictBase:
        return tensordict_reset

    def transform_output_spec(self, output_spec: Composite) -> Composite:
        """Return the specs with the rewards mapped.

        Raises:
            MissingKeyError: an input key is not an entry of the env.
        """
        if self._every_reward:
            self.in_keys = leaf_keys(output_spec["full_reward_spec"])
            self.out_keys = list(self.in_keys)
        self._plan = list(zip(self.in_keys, self.out_keys, strict=True))
        return super().transform_output_spec(output_spec)
