"""The writer of datasets, which are not written."""

from __future__ import annotations

from typing import Any, NoReturn

from rl.data.writers.base import Writer

__all__ = ["ImmutableDatasetWriter"]


class ImmutableDatasetWriter(Writer):
    """Refuses every write.

    Example:
        >>> ImmutableDatasetWriter().add({"x": 1})
        Traceback (most recent call last):
        ...
        RuntimeError: This buffer is a dataset and is not written. Use `RoundRobinWriter` to write.
    """

    def add(self, data: Any) -> NoReturn:  # noqa: ANN401
        """Raise a `RuntimeError`."""
        self._refuse()

    def extend(self, data: Any) -> NoReturn:  # noqa: ANN401
        """Raise a `RuntimeError`."""
        self._refuse()

    def empty(self, empty_write_count: bool = True) -> NoReturn:
        """Raise a `RuntimeError`."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise RuntimeError(
            "This buffer is a dataset and is not written. Use `RoundRobinWriter` to write."
        )
