"""Conformance kits for buffers and their parts."""

from rl.data.testing.check_buffer import check_buffer
from rl.data.testing.check_history import check_history

__all__ = ["check_buffer", "check_history"]
