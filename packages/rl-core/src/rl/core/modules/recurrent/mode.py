"""Whether recurrent modules take single steps or whole sequences."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from typing import Literal, ParamSpec, TypeVar

from rl.core.errors import RLError

__all__ = ["recurrent_mode", "set_recurrent_mode"]

P = ParamSpec("P")
R = TypeVar("R")

_NAMES = {"recurrent": True, "sequential": False}


class _Current(threading.local):
    """The mode of each thread: one may collect while another trains."""

    value: bool | None = None


_CURRENT = _Current()


def recurrent_mode() -> bool | None:
    """Return the mode in force: True for sequences, False for single steps, None where none is set.

    Example:
        >>> recurrent_mode() is None
        True
    """
    return _CURRENT.value


class set_recurrent_mode:  # noqa: N801 (a function to those who use it)
    """Set what recurrent modules take, in a `with` block or as a decorator.

    Losses and value estimators run under `set_recurrent_mode(True)`.

    Args:
        mode: True or "recurrent": the last batch dimension is time. False or "sequential": each
            row is one step. None: what each module was built with.

    Raises:
        RLError: another mode.

    Example:
        >>> with set_recurrent_mode("recurrent"):
        ...     recurrent_mode()
        True
    """

    def __init__(self, mode: bool | Literal["recurrent", "sequential"] | None = True) -> None:
        value = _NAMES.get(mode, mode) if isinstance(mode, str) else mode
        if not (value is None or isinstance(value, bool)):
            raise RLError(
                f"The recurrent mode is {mode!r}, expected a bool, None, 'recurrent' (sequences) "
                "or 'sequential' (single steps)."
            )
        self.mode = value
        self._before: list[bool | None] = []

    def __enter__(self) -> None:
        self._before.append(_CURRENT.value)
        _CURRENT.value = self.mode

    def __exit__(self, *error: object) -> None:
        _CURRENT.value = self._before.pop()

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Return `function`, run in the mode."""

        @wraps(function)
        def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
            with set_recurrent_mode(self.mode):
                return function(*args, **kwargs)

        return wrapped
