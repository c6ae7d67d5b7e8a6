"""The smallest number of a changing array, followed rather than searched."""

from __future__ import annotations

import numpy as np

__all__ = ["LeastLeaf"]


class LeastLeaf:
    """The smallest positive number of an array whose owner changes it; zeros are absent.

    A change costs a few operations on what is changed. Only when the last number known to be the
    smallest has gone is the whole array read, at the next question. In proportional sampling that
    pays: the smallest of n numbers is drawn, and so updated, at most once in n draws.

    Args:
        numbers: the array; it is kept, not copied.

    Example:
        >>> numbers = np.array([0.0, 3.0, 2.0])
        >>> least = LeastLeaf(numbers)
        >>> before, numbers[2] = numbers[[2]], 5.0
        >>> least.changed(before, np.array([2]), 5.0)
        >>> least.value()
        3.0
    """

    def __init__(self, numbers: np.ndarray) -> None:
        self._numbers = numbers
        self.forget()

    def forget(self) -> None:
        """Read the array at the next question."""
        self._value = float("inf")
        # a lower bound of how many numbers are the smallest; 0 if that is not known
        self._count = 0

    def changed(self, before: np.ndarray, places: np.ndarray, least: float) -> None:
        """Take notice of a change.

        Args:
            before: the numbers that were at the places changed.
            places: these places; one may be there twice.
            least: none of the numbers that are there now is below this.
        """
        if not self._count:
            return
        found = self._least_at(places) if least <= self._value else least
        if found < self._value:
            self._value, self._count = found, 1
            return
        # a place that is there twice is taken off twice and put back once: a bound all the same
        self._count -= int(np.count_nonzero(before == self._value))
        self._count = max(self._count, 0) + int(found == self._value)

    def _least_at(self, places: np.ndarray) -> float:
        now = self._numbers[places]
        return float(np.minimum.reduce(now, initial=np.inf, where=now > 0))

    def value(self) -> float:
        """Return the smallest positive number, infinity if there is none."""
        if not self._count:
            present = self._numbers[self._numbers > 0]
            if not present.size:
                return float("inf")
            self._value = float(present.min())
            self._count = int(np.count_nonzero(present == self._value))
        return self._value
