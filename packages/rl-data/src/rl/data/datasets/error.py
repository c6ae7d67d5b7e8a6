"""The errors of datasets: what could not be fetched, read or trusted, and what to do about it."""

from __future__ import annotations

from rl.core.errors import RLError

__all__ = ["DatasetError", "DatasetNotFoundError"]


class DatasetError(RLError, OSError):
    """A dataset cannot be downloaded, read or trusted; the message names the file and the fix."""


class DatasetNotFoundError(DatasetError, FileNotFoundError):
    """A dataset is not where it was looked for; the message names the place and the fix."""
