"""Conformance kits for buffers and their parts."""

from rl.data.testing.check_buffer import check_buffer

__all__ = ["check_buffer"]
