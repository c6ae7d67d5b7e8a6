"""The library's `logging.Logger`, and whether it warns."""

from __future__ import annotations

import logging
import os

__all__ = ["logger", "rl_warnings", "torchrl_logger"]

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
