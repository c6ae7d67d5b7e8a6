"""The library's `logging.Logger`, and whether it warns."""

from __future__ import annotations

import logging
import os
import warnings

__all__ = ["logger", "rl_warnings", "torchrl_logger", "warn"]

logger = logging.getLogger("rl")

# the name that scripts written for TorchRL import; the same object
torchrl_logger = logger


def rl_warnings() -> bool:
    """Tell whether warnings are wanted: unless the environment variable `RL_WARNINGS` is off.

    Off are `0`, `false`, `no` and `off`, in any case.

    Example:
        >>> rl_warnings()
        True
    """
    return os.environ.get("RL_WARNINGS", "1").strip().lower() not in ("0", "false", "no", "off")


def warn(message: str, category: type[Warning] = UserWarning, stacklevel: int = 2) -> None:
    """Warn as `warnings.warn` does, unless `RL_WARNINGS` is off.

    Args:
        message: what is wrong and what to do.
        category: the kind of warning.
        stacklevel: whose line is shown: 1 for the caller of this function, 2 for its caller.

    Example:
        >>> import pytest
        >>> with pytest.warns(UserWarning, match="slow"):
        ...     warn("slow")
    """
    if rl_warnings():
        warnings.warn(message, category, stacklevel=stacklevel + 1)
