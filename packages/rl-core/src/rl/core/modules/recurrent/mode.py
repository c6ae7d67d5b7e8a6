"""Whether recurrent modules take single steps or whole sequences."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from rl.core.errors import RLError

__all__ = ["recurrent_mode", "set_recurrent_mode"]

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


@contextmanager
def set_recurrent_mode(
    mode: bool | Literal["recurrent", "sequential"] | None = True,
) -> Iterator[None]:
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
    value = _NAMES.get(mode, mode) if isinstance(mode, str) else mode
    if not (value is None or isinstance(value, bool)):
        raise RLError(
            f"The recurrent mode is {mode!r}, expected a bool, None, 'recurrent' (sequences) or "
            "'sequential' (single steps)."
        )
    before, _CURRENT.value = _CURRENT.value, value
    try:
        yield
    finally:
        _CURRENT.value = before
