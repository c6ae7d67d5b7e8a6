"""RewardSum: the return of the episode so far."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from tensordict import TensorDictBase
from torch import Tensor

from rl.core.contract.keys import NestedKey, as_key_list, sibling
from rl.core.errors import MissingKeyError, ShapeError, SpecError
from rl.core.specs import Composite, TensorSpec, Unbounded
from rl.envs.transforms.flag_groups import (
    FlagGroup,
    expand_mask,
    find_mask,
    flag_groups,
    group_of,
)
from rl.envs.transforms.lazy_buffers import LazyBuffers, buffer_name
from rl.envs.transforms.leaf_spec import leaf_keys, unbounded_like
from rl.envs.transforms.segments import segment_starts, time_dim
from rl.envs.transforms.tracker import Tracker

__all__ = ["RewardSum"]


class RewardSum(LazyBuffers, Tracker):
    """Sum the rewards of an episode; the sum starts again where the env resets.

    Reads:
        episode_reward: `[*B, 1]`, of the previous step.
        reward: `[*B, 1]`.
    Writes:
        episode_reward: `[*B, 1]`, the sum over the episode so far; 0 after reset.

    Called on stored data that has a time dimension, it computes the same sums from the rewards and
    the done flags under `"next"`.

    Args:
        in_keys: reward keys; by default every reward of the env.
        out_keys: one key per reward; by default `"episode_" + ` the name of the reward, beside it.
        reset_keys: the reset mask that governs each reward; by default that of its done group.
        reward_spec: declare the sums among the rewards rather than the observations. A root holds
            no rewards, so the transform itself then remembers the sums and is not batchable.

    Raises:
        SpecError: the numbers of keys differ.

    Example:
        >>> import torch
        >>> from tensordict import TensorDict
        >>> total = RewardSum()
        >>> td = total._reset(None, TensorDict({"done": torch.zeros(1, dtype=torch.bool)}))
        >>> total._step(td, TensorDict({"reward": torch.ones(1)}))["episode_reward"]
        tensor([1.])
    """

    def __init__(
        self,
        in_keys: Sequence[NestedKey] | None = None,
        out_keys: Sequence[NestedKey] | None = None,
        reset_keys: Sequence[NestedKey] | None = None,
        *,
        reward_spec: bool = False,
    ) -> None:
        super().__init__(in_keys=["reward"] if in_keys is None else in_keys)
        self._default_in_keys = in_keys is None
        self._given_out_keys = None if out_keys is None else as_key_list(out_keys)
        self._given_reset_keys = None if reset_keys is None else as_key_list(reset_keys)
        self.reward_spec = reward_spec
        #: reward leaf spec per input key, as far as specs were seen
        self._rewards: dict[NestedKey, Unbounded] = {}
        self._batch_ndim = 0
        self._plan_keys((FlagGroup((), torch.Size((1,))),))

    def _plan_keys(self, groups: tuple[FlagGroup, ...]) -> None:
        if self._given_out_keys is None:
            self.out_keys = [
                sibling(key, f"episode_{key if isinstance(key, str) else key[-1]}")
                for key in self.in_keys
            ]
        else:
            self.out_keys = list(self._given_out_keys)
        if self._given_reset_keys is None:
            holders = [group_of(key, groups) for key in self.in_keys]
            self.reset_keys = [
                "_reset" if group is None else group.key("_reset") for group in holders
            ]
        else:
            self.reset_keys = list(self._given_reset_keys)
            if len(self.reset_keys) == 1:
                self.reset_keys = self.reset_keys * len(self.in_keys)
        for name in ("out_keys", "reset_keys"):
            if len(getattr(self, name)) != len(self.in_keys):
                raise SpecError(
                    f"`{name}` has {len(getattr(self, name))} keys, expected {len(self.in_keys)}: "
                    f"give one per reward of `in_keys={self.in_keys}`."
                )
        self._plan = [
            (*_split(in_key), *_split(out_key))
            for in_key, out_key in zip(self.in_keys, self.out_keys, strict=True)
        ]

    @property
    def batchable(self) -> bool:  # type: ignore[override]
        """Whether the sums travel in the TensorDict."""
        return not self.reward_spec

    # ---------------------------------------------------------------- state, with `reward_spec`

    def _owns_buffer(self, name: str) -> bool:
        return any(name == buffer_name(key, "total") for key in self.out_keys)

    def _remembered(self, key: NestedKey) -> Tensor | None:
        return getattr(self, buffer_name(key, "total"), None)

    def _step_remembering(
        self, tensordict: TensorDictBase, next_tensordict: TensorDictBase
    ) -> TensorDictBase:
        mask = find_mask(tensordict, name="_step")
        for in_key, out_key in zip(self.in_keys, self.out_keys, strict=True):
            total = next_tensordict[in_key]
            before = self._remembered(out_key)
            if before is not None:
                total = total + before
                if mask is not None:
                    total = torch.where(expand_mask(mask, total), total, before)
            self._put_buffer(buffer_name(out_key, "total"), total.clone())
            next_tensordict.set(out_key, total)
        return next_tensordict

    # ---------------------------------------------------------------- data

    def _step(self, tensordict: TensorDictBase, next_tensordict: TensorDictBase) -> TensorDictBase:
        if self.reward_spec:
            return self._step_remembering(tensordict, next_tensordict)
        for in_path, in_leaf, out_path, out_leaf in self._plan:
            source, before, after = next_tensordict, tensordict, next_tensordict
            for name in in_path:
                source = source[name]
            for name in out_path:
                before, after = before[name], after[name]
            reward = source[in_leaf]
            try:
                total = before[out_leaf] + reward
            except KeyError:  # the caller steps from data that no reset has seen
                total = reward.clone()
            after.set(out_leaf, total)
        return next_tensordict

    def _reset(
        self, tensordict: TensorDictBase | None, tensordict_reset: TensorDictBase
    ) -> TensorDictBase:
        keys = zip(self.in_keys, self.out_keys, self.reset_keys, strict=True)
        for in_key, out_key, reset_key in keys:
            total = self._zero(in_key, tensordict_reset)
            mask = find_mask(tensordict, () if isinstance(reset_key, str) else reset_key[:-1])
            if mask is not None:
                remembered = self._remembered(out_key)
                old = remembered if self.reward_spec else tensordict.get(out_key, None)
                if old is not None:
                    total = torch.where(expand_mask(mask, old), 0.0, old)
            if self.reward_spec:
                self._put_buffer(buffer_name(out_key, "total"), total)
            else:
                tensordict_reset.set(out_key, total)
        return tensordict_reset

    def _zero(self, in_key: NestedKey, tensordict: TensorDictBase) -> Tensor:
        spec = self._rewards.get(in_key)
        if spec is not None:
            # an env that is not batch-locked takes data of a larger batch than its specs
            shape = (*tensordict.batch_size, *spec.shape[self._batch_ndim :])
            return torch.zeros(shape, dtype=spec.dtype, device=tensordict.device)
        done = tensordict.get(sibling(in_key, "done"), None)
        if done is None:
            done = tensordict.get("done", None)
        if done is None:
            raise MissingKeyError(
                f"`RewardSum` does not know the shape of `{in_key}`: add the transform to an env "
                "with `TransformedEnv`, or give data with a `done` flag."
            )
        return torch.zeros_like(done, dtype=torch.get_default_dtype())

    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Write the sums of stored data, from the rewards and done flags under `"next"`.

        Raises:
            ShapeError: the data have no time dimension.
            MissingKeyError: a reward or `("next", "done")` is absent.
        """
        if tensordict.ndim == 0:
            raise ShapeError(
                "`RewardSum` sums over time, and the data have batch size []: give a rollout, "
                "whose "
                'last dimension is "time".'
            )
        dim = time_dim(tensordict)
        for in_key, out_key, reset_key in zip(
            self.in_keys, self.out_keys, self.reset_keys, strict=True
        ):
            prefix = "next" if ("next", *_path(in_key)) in tensordict.keys(True) else None
            read, write = (("next", *_path(in_key)), ("next", *_path(out_key)))
            if prefix is None:
                read, write = in_key, out_key
            reward = tensordict.get(read, None)
            if reward is None:
                raise self._missing(in_key, tensordict.keys(True, True))
            done = tensordict.get(("next", *_path(sibling(reset_key, "done"))), None)
            if done is None:
                done = tensordict.get(sibling(reset_key, "done"), None)
            if done is None:
                raise self._missing(("next", "done"), tensordict.keys(True, True))
            total = _segment_cumsum(reward, expand_mask(done, reward), dim)
            tensordict.set(write, total)
            if prefix is not None:
                tensordict.set(out_key, _before(total, expand_mask(done, reward), dim))
        return tensordict

    # ---------------------------------------------------------------- specs

    def _resolve(self, output_spec: Composite) -> None:
        rewards = output_spec["full_reward_spec"]
        known = leaf_keys(rewards)
        if self._default_in_keys:
            self.in_keys = known
        for key in self.in_keys:
            if key not in known:
                raise self._missing(key, known)
        self._rewards = {key: unbounded_like(rewards[key]) for key in self.in_keys}
        self._batch_ndim = output_spec.ndim
        self._plan_keys(flag_groups(output_spec["full_done_spec"]))

    def transform_state_spec(self, state_spec: Composite) -> Composite:
        """Declare the sums as inputs: a step reads the ones before it."""
        return state_spec if self.reward_spec else self._add(state_spec)

    @property
    def _group(self) -> str:
        return "reward" if self.reward_spec else "observation"

    def _entries(self, batch_size: torch.Size) -> list[tuple[NestedKey, TensorSpec]]:
        pairs = zip(self.in_keys, self.out_keys, strict=True)
        return [(out, self._rewards[key].clone()) for key, out in pairs if key in self._rewards]


def _path(key: NestedKey) -> tuple[str, ...]:
    return (key,) if isinstance(key, str) else key


def _split(key: NestedKey) -> tuple[tuple[str, ...], str]:
    return ((), key) if isinstance(key, str) else (key[:-1], key[-1])


def _segment_cumsum(reward: Tensor, done: Tensor, dim: int) -> Tensor:
    """Sum along `dim`, starting again after each done."""
    total = reward.cumsum(dim)
    start = segment_starts(done, dim)
    before_start = torch.cat([torch.zeros_like(total.narrow(dim, 0, 1)), total], dim)
    return total - before_start.gather(dim, start)


def _before(total: Tensor, done: Tensor, dim: int) -> Tensor:
    """Return the sum as it stood before each step: 0 at the first one of an episode."""
    length = total.shape[dim]
    shifted = total.masked_fill(done, 0.0).narrow(dim, 0, length - 1)
    return torch.cat([torch.zeros_like(total.narrow(dim, 0, 1)), shifted], dim)
