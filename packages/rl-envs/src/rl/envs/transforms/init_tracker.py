"""InitTracker: a flag at the first step of each trajectory."""

from __future__ import annotations

import torch
from tensordict import TensorDictBase

from rl.core.errors import SpecError
from rl.core.specs import Binary, Composite
from rl.core.transform import Transform
from rl.envs.transforms.flag_groups import (
    FlagGroup,
    expand_mask,
    find_mask,
    flag_groups,
    flag_groups_of_data,
)
from rl.envs.transforms.leaf_spec import put_leaf

__all__ = ["InitTracker"]


class InitTracker(Transform):
    """Mark the first step of each trajectory, beside every group of done flags.

    Flags at the root stand for those nested below them. Recurrent networks reset their hidden state
    where the flag is true.

    Writes:
        is_init: `[*B, 1]` bool, true after reset, false after a step.

    Args:
        init_key: leaf name of the flag.

    Raises:
        ValueError: `init_key` is not a string.

    Example:
        >>> from tensordict import TensorDict
        >>> done = torch.zeros(1, dtype=torch.bool)
        >>> InitTracker()._reset(None, TensorDict({"done": done}))["is_init"]
        tensor([True])
    """

    batchable = True

    def __init__(self, init_key: str = "is_init") -> None:
        if not isinstance(init_key, str):
            raise SpecError(
                f"`init_key` is {init_key!r}: give a string, the leaf name written next to each "
                "`done`."
            )
        super().__init__()
        self.init_key = init_key
        self._groups: tuple[FlagGroup, ...] | None = None

    def _step(self, tensordict: TensorDictBase, next_tensordict: TensorDictBase) -> TensorDictBase:
        groups = self._groups
        if groups is None:
            groups = flag_groups_of_data(next_tensordict)
        for group in groups:
            node = next_tensordict
            for name in group.path:
                node = node[name]
            flag = torch.zeros(self._shape(group, node), dtype=torch.bool, device=node.device)
            node.set(self.init_key, flag)
        return next_tensordict

    def _reset(
        self, tensordict: TensorDictBase | None, tensordict_reset: TensorDictBase
    ) -> TensorDictBase:
        for group in self._groups or flag_groups_of_data(tensordict_reset):
            node = group.node(tensordict_reset)
            flag = torch.ones(self._shape(group, node), dtype=torch.bool, device=node.device)
            mask = find_mask(tensordict, group.path)
            if mask is not None:
                flag = expand_mask(mask, flag).clone()
            node.set(self.init_key, flag)
        return tensordict_reset

    @staticmethod
    def _shape(group: FlagGroup, node: TensorDictBase) -> torch.Size:
        # data may have another batch size than the specs: an env that is not batch-locked
        depth = len(group.shape) - 1
        return group.shape if node.ndim == depth else torch.Size((*node.shape, group.shape[-1]))

    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Refuse: rows sampled from a buffer do not say where a trajectory started.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(
            "`InitTracker` marks the resets of an env: add it to an env with `TransformedEnv`, and "
            "store the flag that it writes."
        )

    def transform_output_spec(self, output_spec: Composite) -> Composite:
        """Add the flags to the observations."""
        self._groups = flag_groups(output_spec["full_done_spec"])
        self.out_keys = [group.key(self.init_key) for group in self._groups]
        output_spec["full_observation_spec"] = self.transform_observation_spec(
            output_spec["full_observation_spec"]
        )
        return output_spec

    def transform_reward_spec(self, reward_spec: Composite) -> Composite:
        """Return the reward spec as it is."""
        return reward_spec

    def transform_done_spec(self, done_spec: Composite) -> Composite:
        """Return the done spec as it is."""
        return done_spec

    def transform_observation_spec(self, observation_spec: Composite) -> Composite:
        """Add one flag per done group."""
        for group in self._groups or (FlagGroup((), torch.Size((*observation_spec.shape, 1))),):
            key = group.key(self.init_key)
            if key in observation_spec.keys(True, True):
                raise SpecError(
                    f"`{key}` is already an observation: two `InitTracker`s, or another entry of "
                    "that name. Pass another `init_key`."
                )
            leaf = Binary(shape=group.shape, dtype=torch.bool, device=observation_spec.device)
            put_leaf(observation_spec, key, leaf, group.shape[:-1])
        return observation_spec
