"""Buffers that are built when they are first used, in the process that uses them."""

from __future__ import annotations

import threading
from functools import cache
from typing import Any

__all__ = ["build_late"]

# parts are made by one thread
_BUILDING = threading.RLock()


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
        with _BUILDING:
            if isinstance(self, _Late):  # no other thread was faster
                self._become_built(name)
        return getattr(self, name)

    def _become_built(self, name: str) -> None:
        if "_recipe" not in vars(self):
            raise AttributeError(name)  # asked for by what builds it
        before = dict(vars(self))
        self._lock = threading.RLock()
        try:
            with self._lock:  # who finds some of the parts there waits for the others
                self._build(**vars(self).pop("_recipe"))
                self.__class__ = type(self).built
        except BaseException:
            vars(self).clear()
            vars(self).update(before)
            raise

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
