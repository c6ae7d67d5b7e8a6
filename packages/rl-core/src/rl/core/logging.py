"""The library's `logging.Logger`."""

from __future__ import annotations

import logging

__all__ = ["logger", "torchrl_logger"]

logger = logging.getLogger("rl")

# the name that scripts written for TorchRL import; the same object
torchrl_logger = logger
