"""Done flags: `done` is the union of `terminated` and `truncated`, group by group."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from tensordict import NestedKey, TensorDictBase, is_non_tensor
from torch import Tensor

from rl.core.contract.keys import as_key_list
from rl.core.errors import MissingKeyError, SpecError

__all__ = [
    "DONE_NAMES",
    "DoneGroup",
    "any_done",
    "complete_done",
    "done_groups",
    "terminated_or_truncated",
]

DONE_NAMES = ("done", "terminated", "truncated")


class NestedKeys(Protocol):
    """What is asked of a composite spec here: its keys."""

    def keys(self, include_nested: bool, leaves_only: bool) -> Any:  # noqa: ANN401
        """Return the keys of the leaves."""
        ...


@dataclass(frozen=True)
class DoneGroup:
    """The done flags that share a level of the tree.

    Attributes:
        done: key of the union.
        terminated: key of the flag of the MDP's own end.
        truncated: key of the flag of a cut.
        listed: which of the three names the env declares.
        path: names above the group, empty at the root.

    Example:
        >>> (group,) = done_groups([("agents", "done"), ("agents", "terminated")])
        >>> group.path, group.truncated, group.key("_reset")
        (('agents',), ('agents', 'truncated'), ('agents', '_reset'))
    """

    path: tuple[str, ...]
    listed: frozenset[str]
    done: NestedKey
    terminated: NestedKey
    truncated: NestedKey

    def key(self, name: str) -> NestedKey:
        """Return the key called `name` in this group, such as `"_reset"`."""
        return (*self.path, name) if self.path else name


def done_groups(done_keys: NestedKey | Iterable[NestedKey]) -> tuple[DoneGroup, ...]:
    """Return the done flags by group, in the order of `done_keys`.

    Args:
        done_keys: keys whose last name is `done`, `terminated` or `truncated`; several keys
            come as a list, as a tuple is one nested key.

    Raises:
        SpecError: a key has another last name.

    Example:
        >>> groups = done_groups(["done", "terminated", ("agents", "done")])
        >>> [(group.done, sorted(group.listed)) for group in groups]
        [('done', ['done', 'terminated']), (('agents', 'done'), ['done'])]
    """
    listed: dict[tuple[str, ...], set[str]] = {}
    for key in as_key_list(done_keys):
        path, name = ((), key) if isinstance(key, str) else (key[:-1], key[-1])
        if name not in DONE_NAMES:
            raise SpecError(
                f"`{key}` is no done key: its last name must be `done`, `terminated` or "
                "`truncated`."
            )
        listed.setdefault(path, set()).add(name)
    groups = []
    for path, names in listed.items():
        keys = ((*path, name) if path else name for name in DONE_NAMES)
        groups.append(DoneGroup(path, frozenset(names), *keys))
    return tuple(groups)


def complete_done(next_td: TensorDictBase, groups: Sequence[DoneGroup]) -> TensorDictBase:
    """Write the done flags that a step left out, in place, and return the TensorDict.

    `done` and `terminated` are always there afterwards, `truncated` if the group lists it:
    `done = terminated | truncated`; a lone `done` is taken as `terminated`; `done` with
    `truncated` gives `terminated = done & ~truncated`. Flags that are there are not changed.

    Args:
        next_td: the result of a step.
        groups: what `done_groups` returned for the env's done keys.

    Reads:
        done, terminated, truncated: [*B, 1] bool, whichever are there, in each group.
    Writes:
        those that are not.

    Raises:
        MissingKeyError: a group has none of the three.

    Example:
        >>> from tensordict import TensorDict
        >>> td = TensorDict(terminated=torch.tensor([True]))
        >>> complete_done(td, done_groups("done"))["done"]
        tensor([True])
    """
    for group in groups:
        done = next_td.get(group.done, None)
        terminated = next_td.get(group.terminated, None)
        truncated = next_td.get(group.truncated, None)
        if done is None or terminated is None:
            _complete(next_td, group, done, terminated, truncated)
        if truncated is None and "truncated" in group.listed:
            known = next_td.get(group.done)
            ended = next_td.get(group.terminated)
            next_td.set(group.truncated, known & ~ended)
    return next_td


def _complete(
    next_td: TensorDictBase,
    group: DoneGroup,
    done: Tensor | None,
    terminated: Tensor | None,
    truncated: Tensor | None,
) -> None:
    if done is None and terminated is None and truncated is None:
        raise MissingKeyError(
            f"The step returned none of `{group.done}`, `{group.terminated}`, "
            f"`{group.truncated}`: write at least `terminated`, bool of shape [*B, 1]."
        )
    if terminated is None:
        if done is None:
            terminated = torch.zeros_like(truncated)
        else:
            terminated = done.clone() if truncated is None else done & ~truncated
        next_td.set(group.terminated, terminated)
    if done is None:
        # a copy: flags that share memory would change together when one is written in place
        done = terminated.clone() if truncated is None else terminated | truncated
        next_td.set(group.done, done)


def any_done(
    data: TensorDictBase,
    groups: Sequence[DoneGroup],
    key: str | None = "_reset",
    write_full_false: bool = False,
) -> bool:
    """Return whether any done flag is set, and write where, per group.

    Args:
        data: a TensorDict whose root holds the done flags.
        groups: what `done_groups` returned for the env's done keys.
        key: name, in each group, of the union of its flags; None writes nothing. A value that
            is there already stays.
        write_full_false: write even if no flag is set.

    Example:
        >>> from tensordict import TensorDict
        >>> td = TensorDict(done=torch.tensor([[True], [False]]), batch_size=[2])
        >>> any_done(td, done_groups("done")), td["_reset"].squeeze(-1)
        (True, tensor([ True, False]))
    """
    unions: list[tuple[DoneGroup, Tensor]] = []
    found = False
    for group in groups:
        union = None
        for name in (group.done, group.terminated, group.truncated):
            flag = data.get(name, None)
            if flag is not None:
                union = flag if union is None else union | flag
        if union is not None:
            unions.append((group, union))
            found = found or bool(union.any())
    if key is None or not (found or write_full_false):
        return found
    for group, union in unions:
        target = group.key(key)
        if data.get(target, None) is None:
            data.set(target, union.clone())
    return found


def terminated_or_truncated(
    data: TensorDictBase,
    full_done_spec: NestedKeys | None = None,
    key: str | None = "_reset",
    write_full_false: bool = False,
) -> bool:
    """Return whether any done flag is set, and write the union of each group's flags.

    Args:
        data: a TensorDict whose root holds the done flags, such as `step_mdp`'s result.
        full_done_spec: where the flags are; by default every `done`, `terminated` and
            `truncated` in the tree is read, except below `"next"`.
        key: name, in each group, under which the union is written; None writes nothing. A
            value that is there already stays.
        write_full_false: write even if no flag is set.

    Example:
        >>> from tensordict import TensorDict
        >>> agents = TensorDict(done=torch.tensor([False]))
        >>> td = TensorDict(done=torch.tensor([True]), agents=agents)
        >>> terminated_or_truncated(td), td["_reset"], td["agents", "_reset"]
        (True, tensor([True]), tensor([False]))
    """
    keys = list(full_done_spec.keys(True, True)) if full_done_spec is not None else _done_keys(data)
    return any_done(data, done_groups(keys), key, write_full_false)


def _done_keys(data: TensorDictBase, path: tuple[str, ...] = ()) -> list[NestedKey]:
    keys: list[NestedKey] = []
    for name in data.keys():  # noqa: SIM118 (iterating a TensorDict goes along its batch)
        if name in DONE_NAMES:
            keys.append((*path, name) if path else name)
            continue
        if name == "next":
            continue
        value = data.get(name)
        if isinstance(value, TensorDictBase) and not is_non_tensor(value):
            keys += _done_keys(value, (*path, name))
    return keys
