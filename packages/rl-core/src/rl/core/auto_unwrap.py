"""Whether a `TransformedEnv` around another one takes it apart."""

from __future__ import annotations

import os
from contextlib import ContextDecorator
from typing import Self

from rl.core.errors import RLError

__all__ = ["auto_unwrap_transformed_env", "set_auto_unwrap_transformed_env"]

_VARIABLE = "AUTO_UNWRAP_TRANSFORMED_ENV"
_WORDS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
# the innermost is last; empty as long as nobody has set it
_modes: list[bool | None] = []


def auto_unwrap_transformed_env(allow_none: bool = False) -> bool | None:
    """Tell whether `TransformedEnv` takes apart another one that it is put around.

    It is what `set_auto_unwrap_transformed_env` set, else the environment variable
    `AUTO_UNWRAP_TRANSFORMED_ENV`, else true.

    Args:
        allow_none: return `None` where nobody has set it.

    Raises:
        RLError: the environment variable is no truth value.

    Example:
        >>> auto_unwrap_transformed_env()
        True
    """
    mode = _modes[-1] if _modes else None
    if mode is None and (text := os.environ.get(_VARIABLE)) is not None:
        if text.lower() not in _WORDS:
            raise RLError(f"`{_VARIABLE}` is {text!r}, expected one of {', '.join(_WORDS)}.")
        mode = _WORDS[text.lower()]
    return mode if mode is not None or allow_none else True


class set_auto_unwrap_transformed_env(ContextDecorator):  # noqa: N801  (as TorchRL users write)
    """Sets whether `TransformedEnv` takes apart another one: a context manager or a decorator.

    `set_auto_unwrap_transformed_env(False).set()` holds from then on.

    Args:
        mode: whether it does; `None` leaves it to the environment variable.

    Example:
        >>> with set_auto_unwrap_transformed_env(False):
        ...     auto_unwrap_transformed_env()
        False
    """

    def __init__(self, mode: bool | None) -> None:
        if mode is not None and not isinstance(mode, bool):
            raise TypeError(f"`mode` is {mode!r}, expected True, False or None.")
        self.mode = mode

    def set(self) -> None:
        """Set it until it is set again."""
        if _modes:
            _modes[-1] = self.mode
        else:
            _modes.append(self.mode)

    def __enter__(self) -> Self:
        _modes.append(self.mode)
        return self

    def __exit__(self, *exception: object) -> None:
        _modes.pop()
