"""Names of datasets that a class offers, asked for when they are read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["Listing"]


class Listing:
    """An attribute of a class whose value is computed from the class at each read.

    Args:
        ask: returns the names, given the class.
        doc: what the attribute says of itself.

    Example:
        >>> class Source:
        ...     bucket = "b"
        ...     available_datasets = Listing(lambda cls: [cls.bucket + "/1"], "The names.")
        >>> Source.available_datasets
        ['b/1']
    """

    def __init__(self, ask: Callable[[Any], list[str]], doc: str) -> None:
        self._ask = ask
        self.__doc__ = doc

    def __get__(self, instance: object, owner: type) -> list[str]:
        return self._ask(owner)
