"""`step_mdp`: from the transition at time t to the root of time t + 1."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from tensordict import (
    LazyStackedTensorDict,
    NestedKey,
    TensorDict,
    TensorDictBase,
    is_non_tensor,
    is_tensor_collection,
)
from torch import Tensor

from rl.core.contract.keys import as_key_list
from rl.core.errors import MissingKeyError

__all__ = ["StepPlan", "step_mdp"]

Keys = NestedKey | Iterable[NestedKey]


class StepPlan:
    """The moves of `step_mdp`, resolved once; calling it returns a new root.

    What `"next"` holds comes to the root; what only the root holds (actions, hidden states,
    metadata) stays. A group found on both sides is merged key by key. Non-tensor data moves
    like a tensor. The result shares tensors with the input, and no container.

    Args:
        reward_keys: left out of the result if `exclude_reward`.
        done_keys: left out of the result if `exclude_done`.
        action_keys: left out of the result if `exclude_action`.
        keep_other: keep the root's entries that `"next"` lacks; without it only actions (unless
            excluded) and `static_keys` stay.
        exclude_reward: leave out the rewards.
        exclude_done: leave out the done flags.
        exclude_action: leave out the actions.
        static_keys: entries or groups whose root value always stays
            (`Composite(step_mdp_static=True)`).

    Reads:
        everything at the root and below `"next"`.
    Writes:
        nothing: the result is a new TensorDict.

    Example:
        >>> import torch
        >>> plan = StepPlan()
        >>> td = TensorDict(
        ...     obs=torch.zeros(1), action=torch.ones(1),
        ...     next=TensorDict(obs=torch.ones(1), reward=torch.ones(1)),
        ... )
        >>> sorted(plan(td).keys()), plan(td)["obs"]
        (['action', 'obs'], tensor([1.]))
    """

    def __init__(
        self,
        reward_keys: Keys = "reward",
        done_keys: Keys = "done",
        action_keys: Keys = "action",
        *,
        keep_other: bool = True,
        exclude_reward: bool = True,
        exclude_done: bool = False,
        exclude_action: bool = False,
        static_keys: Keys | None = None,
    ) -> None:
        dropped: list[NestedKey] = []
        stays = as_key_list(static_keys)
        for keys, exclude in (
            (reward_keys, exclude_reward),
            (done_keys, exclude_done),
            (action_keys, exclude_action),
        ):
            dropped += as_key_list(keys) if exclude else []
        kept = stays if exclude_action else [*stays, *as_key_list(action_keys)]
        self._level = _Level(dropped, kept, stays, keep_other)

    def __call__(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Return the root of the next step.

        Args:
            tensordict: a transition, with the step's result under `"next"`.

        Raises:
            MissingKeyError: there is no `"next"`.
        """
        if tensordict.__class__ is LazyStackedTensorDict:
            dim = tensordict.stack_dim
            return LazyStackedTensorDict.lazy_stack(
                [self(td) for td in tensordict.unbind(dim)], dim
            )
        next_td = tensordict.get("next", None)
        if next_td is None:
            raise MissingKeyError(
                "`step_mdp` found no `next`: call it on what `env.step(td)` returned, not on what "
                "`env.reset()` or the policy returned."
            )
        return self._level.merge(tensordict, next_td, skip="next")

    def advance(self, root: TensorDictBase, following: TensorDictBase) -> TensorDictBase:
        """Return the root of the next step, from a root and what its step returned.

        The same moves as a call, for a loop that holds the two apart.
        """
        return self._level.merge(root, following, skip="next")


class _Level:
    """The moves at one level of the tree, and the levels below it."""

    __slots__ = ("below", "dropped", "keep_other", "kept", "static")

    def __init__(
        self,
        dropped: list[NestedKey],
        kept: list[NestedKey],
        static: list[NestedKey],
        keep_other: bool,
    ) -> None:
        self.keep_other = keep_other
        self.dropped = _names_here(dropped)
        self.kept = _names_here(kept)
        self.static = _names_here(static)
        lists = [_by_group(keys) for keys in (dropped, kept, static)]
        groups = set().union(*lists)
        self.below = {
            group: _Level(*(keys.get(group, []) for keys in lists), keep_other) for group in groups
        }

    def merge(
        self, root: TensorDictBase, following: TensorDictBase, skip: str | None = None
    ) -> TensorDictBase:
        """Return a new TensorDict of what moves from `following` and what stays of `root`."""
        if root.__class__ is LazyStackedTensorDict or following.__class__ is LazyStackedTensorDict:
            return self._merge_lazy(root, following)
        old, new = dict(root.items()), dict(following.items())
        out = self._kept_of(old, new, skip)
        dropped, static = self.dropped, self.static
        for name, value in new.items():
            if name in dropped or (name in static and name in old):
                continue
            if value.__class__ is Tensor:
                out[name] = value
                continue
            moved = self._move(name, value, old.get(name))
            # a group of nothing but rewards leaves no empty group behind
            if name in old or name not in self.below or not moved.is_empty():
                out[name] = moved
        names = root.names
        return TensorDict(
            out,
            batch_size=root.batch_size,
            device=root.device,
            names=names if any(names) else None,
        )

    def _kept_of(self, old: dict[str, Any], new: dict[str, Any], skip: str | None) -> dict:
        """Return the root's entries that stay; those that `new` overwrites are left out."""
        dropped, static = self.dropped, self.static
        out: dict[str, Any] = {}
        for name, value in old.items():
            if name in dropped or name == skip or (name in new and name not in static):
                continue
            if value.__class__ is Tensor:
                if self.keep_other or name in self.kept:
                    out[name] = value
                continue
            stayed = self._stay(name, value)
            if stayed is not None:
                out[name] = stayed
        return out

    def _merge_lazy(self, root: TensorDictBase, following: TensorDictBase) -> TensorDictBase:
        lazy = root if root.__class__ is LazyStackedTensorDict else following
        dim = lazy.stack_dim
        pairs = zip(root.unbind(dim), following.unbind(dim), strict=True)
        merged = [self.merge(old, new, skip="next") for old, new in pairs]
        return LazyStackedTensorDict.lazy_stack(merged, dim)

    def _stay(self, name: str, value: Any) -> Any:  # noqa: ANN401
        """Return what stays of a root entry that is no plain tensor, or None."""
        if not is_tensor_collection(value) or is_non_tensor(value):
            return value if self.keep_other or name in self.kept else None
        if name in self.static or (not self.keep_other and name in self.kept):
            return value.copy()
        level = self.below.get(name)
        if level is None:
            return value.copy() if self.keep_other else None
        if not isinstance(value, TensorDictBase):
            return value.copy()
        stayed = level.merge(value, value.empty())
        return stayed if self.keep_other or not stayed.is_empty() else None

    def _move(self, name: str, value: Any, old: Any) -> Any:  # noqa: ANN401
        """Return an entry of `"next"` that is no plain tensor, merged with the root's."""
        if not isinstance(value, TensorDictBase) or is_non_tensor(value):
            return value.copy() if is_tensor_collection(value) else value
        level = self.below.get(name) or (_PLAIN if self.keep_other else _MOVES_ONLY)
        if not isinstance(old, TensorDictBase) or is_non_tensor(old):
            old = value.empty()
        return level.merge(old, value)


def _names_here(keys: list[NestedKey]) -> frozenset[str]:
    return frozenset(key for key in keys if isinstance(key, str))


def _by_group(keys: list[NestedKey]) -> dict[str, list[NestedKey]]:
    """Return the nested keys, shortened by their first name, under that name."""
    groups: dict[str, list[NestedKey]] = {}
    for key in keys:
        if isinstance(key, tuple):
            rest = key[1:]
            groups.setdefault(key[0], []).append(rest if len(rest) > 1 else rest[0])
    return groups


# Groups in which no key is special.
_PLAIN = _Level([], [], [], True)
_MOVES_ONLY = _Level([], [], [], False)


def step_mdp(  # noqa: PLR0913
    tensordict: TensorDictBase,
    next_tensordict: TensorDictBase | None = None,
    keep_other: bool = True,
    exclude_reward: bool = True,
    exclude_done: bool = False,
    exclude_action: bool = False,
    reward_keys: Keys = "reward",
    done_keys: Keys = "done",
    action_keys: Keys = "action",
) -> TensorDictBase:
    """Return the root of the next step: `"next"` moved to the root, the rest kept.

    One rule holds for this function and for an env's own method: the action is kept unless
    `exclude_action` is set. See `StepPlan`, which resolves the moves once for a loop.

    Args:
        tensordict: a transition, with the step's result under `"next"`.
        next_tensordict: written and returned in place of a new TensorDict.
        keep_other: keep the root's entries that `"next"` lacks.
        exclude_reward: leave out the rewards.
        exclude_done: leave out the done flags.
        exclude_action: leave out the actions.
        reward_keys: what counts as reward.
        done_keys: what counts as done flag.
        action_keys: what counts as action.

    Raises:
        MissingKeyError: there is no `"next"`.

    Example:
        >>> import torch
        >>> td = TensorDict(
        ...     action=torch.ones(1), next=TensorDict(obs=torch.ones(1), reward=torch.ones(1))
        ... )
        >>> sorted(step_mdp(td).keys())
        ['action', 'obs']
    """
    plan = _plan(
        tuple(as_key_list(reward_keys)),
        tuple(as_key_list(done_keys)),
        tuple(as_key_list(action_keys)),
        (keep_other, exclude_reward, exclude_done, exclude_action),
    )
    out = plan(tensordict)
    return out if next_tensordict is None else next_tensordict.update(out)


@lru_cache(maxsize=256)
def _plan(reward: tuple, done: tuple, action: tuple, flags: tuple) -> StepPlan:
    keep_other, exclude_reward, exclude_done, exclude_action = flags
    return StepPlan(
        list(reward),
        list(done),
        list(action),
        keep_other=keep_other,
        exclude_reward=exclude_reward,
        exclude_done=exclude_done,
        exclude_action=exclude_action,
    )
