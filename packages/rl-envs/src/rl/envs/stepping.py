"""Step, advance and reset: functions that take an env and a TensorDict, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from tensordict import (
    LazyStackedTensorDict,
    NestedKey,
    TensorDictBase,
    is_non_tensor,
    is_tensor_collection,
)
from torch import Tensor

from rl.core.contract import complete_done
from rl.core.errors import RLError, ShapeError

if TYPE_CHECKING:
    from rl.envs.base import EnvBase

__all__ = [
    "all_groups_done",
    "check_not_done",
    "keep_where",
    "maybe_reset",
    "merge_reset",
    "next_of",
    "partial_next_of",
    "reset_done",
    "reset_mask",
    "select_rows",
    "step_and_maybe_reset",
    "truncate",
    "unseen_states",
    "with_states",
]


def next_of(env: EnvBase, tensordict: TensorDictBase) -> TensorDictBase:
    """Step `env` and return the content of "next", with its flags complete; attaches nothing.

    Args:
        env: the env.
        tensordict: [*B] root with the action (and the state of a stateless env).
    """
    next_tensordict = env._step(tensordict)
    if not env._flags_complete:
        if all(key in next_tensordict for key in env.done_keys):
            env.__dict__["_flags_complete"] = True
        else:
            complete_done(next_tensordict, env.keys_plan.done_groups)
    return next_tensordict


def partial_next_of(env: EnvBase, tensordict: TensorDictBase, mask: Tensor) -> TensorDictBase:
    """Step only the envs that `mask` selects; the others keep their root, with a reward of zero.

    An env of any batch size steps the selected rows alone.

    Args:
        env: an env that steps its whole batch at once.
        tensordict: [*B] root with the action.
        mask: [*B] or [*B, 1] bool, true where the env is stepped.
    """
    mask = mask.reshape(tensordict.batch_size)
    still = env._stand_still(tensordict)
    if not mask.any():
        return still
    if env.batch_locked:
        return keep_where(mask, next_of(env, tensordict), still)
    still[mask] = next_of(env, tensordict[mask])
    return still


def keep_where(mask: Tensor, new: TensorDictBase, old: TensorDictBase) -> TensorDictBase:
    """Return `new` where the [*B] or [*B, 1] mask is true and `old` elsewhere, for `new`'s keys."""
    return select_rows(mask.reshape(new.batch_size), new, old)


def select_rows(mask: Tensor, new: TensorDictBase, old: TensorDictBase) -> TensorDictBase:
    """Return `new` where the [*B] mask is true and `old` elsewhere, key by key of `new`."""
    if isinstance(new, LazyStackedTensorDict):
        dim = new.stack_dim
        rows = zip(mask.unbind(dim), new.unbind(dim), old.unbind(dim), strict=True)
        return LazyStackedTensorDict.lazy_stack([select_rows(*row) for row in rows], dim)
    result = new.empty()
    for key, value in new.items():
        other = old.get(key, None)
        if other is None:
            result.set(key, value)
        elif is_tensor_collection(value) and not is_non_tensor(value):
            result.set(key, select_rows(mask, value, other))
        elif isinstance(value, Tensor):
            shape = mask.shape + (1,) * (value.ndim - mask.ndim)
            result.set(key, torch.where(mask.reshape(shape), value, other))
        else:
            result.set(key, value if bool(mask.all()) else _merge_non_tensor(mask, value, other))
    return result


def _merge_non_tensor(mask: Tensor, new: Any, old: Any) -> Any:  # noqa: ANN401
    if mask.ndim == 0:
        return new if bool(mask) else old
    rows = [n if keep else o for keep, n, o in zip(mask, new.unbind(0), old.unbind(0), strict=True)]
    return torch.stack(rows, 0)


def step_and_maybe_reset(
    env: EnvBase, tensordict: TensorDictBase
) -> tuple[TensorDictBase, TensorDictBase]:
    """Step, then return `tensordict` with "next" and the root of the following step.

    Args:
        env: the env.
        tensordict: [*B] root with the action.

    Returns:
        The completed transition, and its successor: the next root, reset wherever it is done.
    """
    tensordict = env.step(tensordict)
    return tensordict, maybe_reset(env, env.step_mdp(tensordict))


def all_groups_done(env: EnvBase, tensordict: TensorDictBase) -> Tensor:
    """Return the mask, of the batch's shape, of where every done group is over."""
    ndim = tensordict.ndim
    masks = [tensordict[group.done].flatten(ndim) for group in env.keys_plan.done_groups]
    return torch.cat(masks, -1).all(-1)


def truncate(env: EnvBase, next_tensordict: TensorDictBase) -> None:
    """Mark the content of "next" truncated, and done, wherever it is not done.

    Raises:
        RLError: the env has no truncated flag.
    """
    for group in env.keys_plan.done_groups:
        if "truncated" not in group.listed:
            raise RLError(
                f"`set_truncated=True` needs a truncated flag beside `{group.done}`: call "
                "`env.add_truncated_keys()` first."
            )
        over = next_tensordict[group.done]
        next_tensordict.set(group.truncated, next_tensordict[group.truncated] | ~over)
        next_tensordict.set(group.done, torch.ones_like(over))


def maybe_reset(env: EnvBase, tensordict: TensorDictBase) -> TensorDictBase:
    """Reset `tensordict`, a root, wherever it is done; return it as it is when nothing is."""
    return reset_done(env, tensordict) if env.keys_plan.any_done(tensordict) else tensordict


def reset_done(env: EnvBase, tensordict: TensorDictBase) -> TensorDictBase:
    """Reset `tensordict`, a root in which some trajectory is over, wherever it is done."""
    if env._reset_in_place(tensordict):
        return tensordict
    for group in env.keys_plan.done_groups:
        tensordict.set(group.key("_reset"), tensordict[group.done].clone())
    return env.reset(tensordict)


def reset_mask(env: EnvBase, tensordict: TensorDictBase | None) -> dict[NestedKey, Tensor] | None:
    """Return the `_reset` mask of each done group, or None when everything is to be reset.

    Raises:
        ShapeError: a mask has another shape than its done entry (a trailing 1 may lack).
    """
    if tensordict is None:
        return None
    groups = env.keys_plan.done_groups
    root = tensordict.get("_reset", None)
    if root is not None:
        key, shape = "done", (*tensordict.batch_size, 1)
        masks = {"_reset": _shaped("_reset", root, key, torch.Size(shape))}
        groups = groups[:1]
    else:
        masks = {}
        for group in groups:
            key = group.key("_reset")
            mask = tensordict.get(key, None)
            if mask is not None:
                masks[key] = _shaped(key, mask, group.done, env.full_done_spec[group.done].shape)
    if not masks:
        return None
    if len(masks) == len(groups) and all(bool(mask.all()) for mask in masks.values()):
        return None
    return masks


def _shaped(key: NestedKey, mask: Tensor, done: NestedKey, shape: torch.Size) -> Tensor:
    if mask.shape == shape[:-1]:
        mask = mask.unsqueeze(-1)
    if mask.shape != shape:
        raise ShapeError(
            f"`{key}` has shape {list(mask.shape)}, expected that of `{done}`, {list(shape)}."
        )
    return mask


def merge_reset(
    masks: dict[NestedKey, Tensor], old: TensorDictBase, new: TensorDictBase
) -> TensorDictBase:
    """Return `new` where a mask is true and `old` elsewhere; nested groups follow their own mask.

    Args:
        masks: `_reset` key → bool mask with the shape of its done entry.
        old: the root before the reset; a key that it lacks is taken from `new`.
        new: the full-sized result of the reset.
    """
    root = masks.get("_reset")
    if root is None:  # envs whose flags are all nested share nothing but the groups' own keys
        root = torch.stack([_reduce(mask, new.ndim) for mask in masks.values()]).any(0)
    merged = select_rows(_reduce(root, new.ndim), new, old)
    for key, mask in masks.items():
        if isinstance(key, tuple):
            group = key[:-1]
            target = new.get(group)
            merged.set(group, select_rows(_reduce(mask, target.ndim), target, old.get(group)))
    return merged


def _reduce(mask: Tensor, ndim: int) -> Tensor:
    """Return the mask over the first `ndim` dims, true where any of the rest is."""
    return mask.flatten(ndim).any(-1) if mask.ndim > ndim else mask


def check_not_done(
    env: EnvBase, tensordict: TensorDictBase, masks: dict[NestedKey, Tensor] | None
) -> None:
    """Raise when an env that was reset is over at once.

    Raises:
        RLError: and the env was not built with `allow_done_after_reset=True`.
    """
    for group in env.keys_plan.done_groups:
        over = tensordict[group.done]
        if masks is not None:
            mask = masks.get(group.key("_reset"), masks.get("_reset"))
            if mask is None:
                continue
            over = over & mask.reshape(*mask.shape, *[1] * (over.ndim - mask.ndim))
        if over.any():
            raise RLError(
                f"{type(env).__name__} is done right after its reset: an episode has at least one "
                "step. Build the env with `allow_done_after_reset=True` if that is meant."
            )


def unseen_states(
    env: EnvBase, written: TensorDictBase, following: TensorDictBase
) -> list[NestedKey]:
    """Return the states for which the env went on with another value than the policy wrote.

    What a policy writes under "next" does not reach the envs inside a vector env, whose primers
    then carry the old state on. The policy is what writes its state.

    Args:
        env: the env.
        written: what the policy wrote under "next".
        following: what the env wrote there.
    """
    states = env.keys_plan.state_keys
    values = ((key, written.get(key, None)) for key in states)
    return [
        key for key, value in values if value is not None and value is not following.get(key, None)
    ]


def with_states(
    keys: list[NestedKey],
    written: TensorDictBase,
    following: TensorDictBase,
    mask: Tensor | None,
) -> TensorDictBase:
    """Return what the policy wrote under "next", then what the env did, except for `keys`.

    Args:
        keys: states for which the policy's value holds.
        written: what the policy wrote under "next"; it may be taken apart.
        following: what the env wrote there.
        mask: [*B] or [*B, 1] bool, where the env was stepped; None for everywhere.
    """
    states = written.select(*keys) if keys else None
    if states is not None and mask is not None:
        states = keep_where(mask, states, following)
    following = written.update(following)
    return following if states is None else following.update(states)
