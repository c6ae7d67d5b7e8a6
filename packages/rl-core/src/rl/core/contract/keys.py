"""Nested keys: the names under which the wheels meet in a TensorDict."""

from __future__ import annotations

from collections.abc import Iterable

from tensordict import NestedKey, unravel_key

__all__ = ["NestedKey", "as_key_list", "in_next", "sibling", "unravel_key"]


def as_key_list(keys: NestedKey | Iterable[NestedKey] | None) -> list[NestedKey]:
    """Return `keys` as a list of unravelled keys; a lone string is one key.

    A tuple of strings is read as one nested key, as TensorDict does.

    Example:
        >>> as_key_list("observation"), as_key_list([("a", ("b",)), "c"])
        (['observation'], [('a', 'b'), 'c'])
    """
    if keys is None:
        return []
    if isinstance(keys, str):
        return [keys]
    if isinstance(keys, tuple):
        return [unravel_key(keys)]
    return [unravel_key(key) for key in keys]


def in_next(key: NestedKey) -> NestedKey:
    """Return `key` below `"next"`.

    Example:
        >>> in_next("reward"), in_next(("agents", "reward"))
        (('next', 'reward'), ('next', 'agents', 'reward'))
    """
    return unravel_key(("next", key))


def sibling(key: NestedKey, name: str) -> NestedKey:
    """Return the key called `name` in the same group as `key`.

    Example:
        >>> sibling(("agents", "done"), "_reset"), sibling("done", "_reset")
        (('agents', '_reset'), '_reset')
    """
    return name if isinstance(key, str) else (*key[:-1], name)
