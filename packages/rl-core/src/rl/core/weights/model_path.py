"""The model that a path names, below an object such as a collector."""

from __future__ import annotations

import re
from typing import Any

from rl.core.errors import RLError, nearest

__all__ = ["find_model"]

_STEP = re.compile(r"\.?(?P<name>[A-Za-z_]\w*)|\[(?P<index>-?\d+)\]")


def find_model(context: Any, path: str) -> Any:  # noqa: ANN401 (a module, mostly)
    """Return what `path` leads to.

    Args:
        context: where it begins.
        path: attributes and indices, such as `"policy"` or `"env.transform[0].module"`.

    Raises:
        RLError: the path is ill-formed, or ends where there is no such attribute or index.

    Example:
        >>> find_model({"a": 1}.keys(), "mapping")
        mappingproxy({'a': 1})
    """
    found, position = context, 0
    while position < len(path):
        step = _STEP.match(path, position)
        if step is None:
            raise RLError(
                f"`{path}` is no path to a model: write attributes and indices, such as "
                "`env.transform[0].module`."
            )
        try:
            name, index = step["name"], step["index"]
            found = getattr(found, name) if name else found[int(index)]
        except (AttributeError, IndexError, TypeError) as error:
            names = [name for name in dir(found) if not name.startswith("_")]
            raise RLError(
                f"`{path}`: a {type(found).__qualname__} has no `{step[0].lstrip('.')}`. "
                f"{nearest(step[0], names)}"
            ) from error
        position = step.end()
    return found
