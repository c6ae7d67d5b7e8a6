"""CatTensors: several entries as one vector."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from tensordict import TensorDictBase
from torch import Tensor

from rl.core.contract.keys import NestedKey, as_key_list
from rl.core.errors import RLError
from rl.core.specs import Composite, TensorSpec
from rl.core.transform import Transform
from rl.envs.transforms.leaf_spec import join_specs, leaf_keys
from rl.envs.transforms.observation import fed_back_keys

__all__ = ["CatTensors"]


class CatTensors(Transform):
    """Concatenate entries into one.

    Reads:
        each of `in_keys`: `[*B, ..., D_i, ...]`.
    Writes:
        observation_vector: `[*B, ..., sum(D_i), ...]`.

    Args:
        in_keys: entries to concatenate; by default every observation that no step reads back (such
            as `step_count`).
        out_key: key of the result.
        dim: negative; the dimension along which entries are joined.
        del_keys: remove the entries afterwards.
        unsqueeze_if_oor: give an entry without dimension `dim` behind the batch dimensions one of
            size 1.
        sort: join in the order of the names rather than in that given.

    Raises:
        MissingKeyError: an entry is not an observation of the env.

    Example:
        >>> from tensordict import TensorDict
        >>> cat = CatTensors(["b", "a"], out_key="ab")
        >>> cat(TensorDict({"a": torch.zeros(1), "b": torch.ones(1)}))["ab"]
        tensor([0., 1.])
    """

    batchable = True

    def __init__(
        self,
        in_keys: Sequence[NestedKey] | None = None,
        out_key: NestedKey = "observation_vector",
        dim: int = -1,
        *,
        del_keys: bool = True,
        unsqueeze_if_oor: bool = False,
        sort: bool = True,
    ) -> None:
        super().__init__(in_keys=in_keys, out_keys=as_key_list([out_key]))
        self._every_key = in_keys is None
        self.dim = dim
        self.del_keys = del_keys
        self.unsqueeze_if_oor = unsqueeze_if_oor
        self.sort = sort
        self._order()

    def _order(self) -> None:
        if self.sort:
            self.in_keys = sorted(self.in_keys, key=str)
        out_key = self.out_keys[0]
        self._dropped = [key for key in self.in_keys if key != out_key] if self.del_keys else []

    def _call(self, next_tensordict: TensorDictBase) -> TensorDictBase:
        if not self.in_keys:
            raise RLError(
                "`CatTensors` has no keys outside of an env: pass `in_keys=[...]`, or add it to "
                "an env."
            )
        ndim = next_tensordict.ndim
        try:
            values = [next_tensordict[key] for key in self.in_keys]
        except KeyError:
            present = list(next_tensordict.keys(True, True))
            absent = [key for key in self.in_keys if key not in present]
            raise self._missing(absent[0], present) from None
        if self.unsqueeze_if_oor:
            values = [self._fit(value, ndim) for value in values]
        next_tensordict.set(self.out_keys[0], torch.cat(values, self.dim))
        for key in self._dropped:
            del next_tensordict[key]
        return next_tensordict

    def _fit(self, value: Tensor, batch_ndim: int) -> Tensor:
        return value.unsqueeze(self.dim) if value.ndim - batch_ndim < -self.dim else value

    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Concatenate the entries of a TensorDict.

        Raises:
            MissingKeyError: an entry is absent.
        """
        return self._call(tensordict)

    def transform_output_spec(self, output_spec: Composite) -> Composite:
        """Return the specs with the joined entry among the observations."""
        observations = output_spec["full_observation_spec"]
        known = leaf_keys(observations)
        if self._every_key:
            left_out = {*fed_back_keys(self), self.out_keys[0]}
            self.in_keys = [key for key in known if key not in left_out]
            self._order()
        for key in self.in_keys:
            if key not in known:
                raise self._missing(key, known)
        output_spec["full_observation_spec"] = self.transform_observation_spec(observations)
        return output_spec

    def transform_observation_spec(self, observation_spec: Composite) -> Composite:
        """Join the specs of the entries."""
        ndim = observation_spec.ndim
        leaves = [self._fit_spec(observation_spec[key], ndim) for key in self.in_keys]
        joined = join_specs(leaves, lambda values: torch.cat(values, self.dim))
        observation_spec[self.out_keys[0]] = joined
        for key in self._dropped:
            del observation_spec[key]
        return observation_spec

    def _fit_spec(self, spec: TensorSpec, batch_ndim: int) -> TensorSpec:
        if not self.unsqueeze_if_oor or spec.ndim - batch_ndim >= -self.dim:
            return spec
        return spec.unsqueeze(self.dim)
