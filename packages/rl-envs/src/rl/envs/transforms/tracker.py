"""Tracker: the base of transforms that carry a quantity of the episode in the TensorDict."""

from __future__ import annotations

import torch

from rl.core.contract.keys import NestedKey
from rl.core.specs import Composite, TensorSpec
from rl.core.transform import Transform
from rl.envs.transforms.leaf_spec import put_leaf

__all__ = ["Tracker"]


class Tracker(Transform):
    """A transform whose state travels in the TensorDict: each step reads what the one before wrote.

    Its entries are observations (or rewards) on the way out and states on the way in. A subclass
    takes what it needs from the specs in `_resolve` and lists its entries in `_entries`.
    """

    batchable = True
    #: the group of specs that the entries belong to on the way out
    _group = "observation"
    _resolved = False

    def _resolve(self, output_spec: Composite) -> None:
        """Take keys and shapes from the specs of the env up to this transform."""
        raise NotImplementedError

    def _entries(self, batch_size: torch.Size) -> list[tuple[NestedKey, TensorSpec]]:
        """Return key and spec of each entry."""
        raise NotImplementedError

    def transform_output_spec(self, output_spec: Composite) -> Composite:
        """Return the specs with the entries added.

        Raises:
            MissingKeyError: the env lacks an entry that is tracked.
        """
        self._resolve(output_spec)
        self._resolved = True
        return self._map_groups(output_spec, ("observation", "reward", "done"))

    def transform_input_spec(self, input_spec: Composite) -> Composite:
        """Return the specs with the entries among the states: a step reads the ones before it."""
        if not self._resolved and self.parent is not None:
            self._resolve(self.parent.output_spec.clone())
            self._resolved = True
        return super().transform_input_spec(input_spec)

    def transform_observation_spec(self, observation_spec: Composite) -> Composite:
        """Add the entries, if they are observations."""
        return self._add(observation_spec) if self._group == "observation" else observation_spec

    def transform_reward_spec(self, reward_spec: Composite) -> Composite:
        """Add the entries, if they are rewards."""
        return self._add(reward_spec) if self._group == "reward" else reward_spec

    def transform_done_spec(self, done_spec: Composite) -> Composite:
        """Return the done spec as it is."""
        return done_spec

    def transform_state_spec(self, state_spec: Composite) -> Composite:
        """Add the entries."""
        return self._add(state_spec)

    def _add(self, spec: Composite) -> Composite:
        for key, leaf in self._entries(spec.shape):
            put_leaf(spec, key, leaf, leaf.shape[:-1])
        return spec
