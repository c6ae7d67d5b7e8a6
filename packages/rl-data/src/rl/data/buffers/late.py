"""Buffers that are built when they are first used, in the process that uses them."""

from __future__ import annotations

from functools import cache
from typing import Any

__all__ = ["build_late"]


def build_late(buffer: Any, recipe: dict[str, Any]) -> None:  # noqa: ANN401
    """Keep what `buffer._build` needs until something of the buffer is asked for.

    The buffer is of a class of its own meanwhile, so that one that is built pays nothing.
    """
    buffer._recipe = recipe
    buffer.__class__ = _late(type(buffer))


class _Late:
    """The attributes of a buffer that is not built yet."""

    built: type

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        # looked up only where there is no such attribute: parts are made when one is asked for
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        recipe = vars(self).pop("_recipe")
        self.__class__ = type(self).built
        self._build(**recipe)
        return getattr(self, name)

    def stats(self) -> dict[str, Any]:
        """Return that there is nothing to tell yet."""
        return {"initialized": False}

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self).built, dict(vars(self)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(not built yet)"


@cache
def _late(cls: type) -> type:
    body = {"built": cls, "__doc__": cls.__doc__, "__module__": cls.__module__}
    return type(cls.__name__, (_Late, cls), body)


def _restored(cls: type, state: dict[str, Any]) -> Any:  # noqa: ANN401
    buffer = cls.__new__(cls)
    vars(buffer).update(state)
    buffer.__class__ = _late(cls)
    return buffer
