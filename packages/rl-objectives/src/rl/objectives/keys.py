"""The keys that a loss or an estimator reads and writes, and how a user renames them."""

from __future__ import annotations

import dataclasses
from typing import Any

from tensordict import NestedKey, unravel_key

from rl.core.errors import nearest

__all__ = ["key_names", "renamed_keys"]


def key_names(keys: Any) -> list[str]:  # noqa: ANN401
    """Return the names of a dataclass of keys, class or instance."""
    return [field.name for field in dataclasses.fields(keys)]


def renamed_keys(owner: str, keys: Any, **new: NestedKey | None) -> Any:  # noqa: ANN401
    """Return `keys` with some entries replaced; `None` restores the default.

    Args:
        owner: name of the class, for the message.
        keys: a frozen dataclass of nested keys.
        **new: keys by name.

    Raises:
        ValueError: on an unknown name, listing the accepted ones.
    """
    names = key_names(keys)
    defaults = type(keys)()
    changes = {}
    for name, key in new.items():
        if name not in names:
            accepted = ", ".join(f"`{n}`" for n in names)
            raise ValueError(
                f"`{name}` is no key of {owner}. {nearest(name, names)} "
                f"`{owner}.set_keys` accepts: {accepted}."
            )
        changes[name] = getattr(defaults, name) if key is None else unravel_key(key)
    return dataclasses.replace(keys, **changes)
