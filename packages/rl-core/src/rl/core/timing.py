"""Wall time per label."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any, ClassVar, ParamSpec, TypeVar

from rl.core.logging import logger

__all__ = ["timeit"]

P = ParamSpec("P")
R = TypeVar("R")


class timeit:  # noqa: N801  (the name that TorchRL users write)
    """Adds up wall time under a name, as a context manager or a decorator.

    Args:
        name: the label; `/` groups labels.

    Example:
        >>> timeit.erase()
        >>> with timeit("collect"):
        ...     pass
        >>> @timeit("learn")
        ... def learn():
        ...     return 1
        >>> learn(), learn()
        (1, 1)
        >>> timeit.count("learn"), sorted(timeit.todict())
        (2, ['collect', 'learn'])
    """

    # label -> [seconds, calls]; shared by the process, as are the labels
    _totals: ClassVar[dict[str, list[float]]] = {}

    def __init__(self, name: str) -> None:
        self.name = name
        # a stack, so that one object serves nested and recursive use
        self._starts: list[float] = []

    def __call__(self, fn: Callable[P, R]) -> Callable[P, R]:
        """Return `fn`, timed at every call."""

        @functools.wraps(fn)
        def timed(*args: P.args, **kwargs: P.kwargs) -> R:
            with self:
                return fn(*args, **kwargs)

        return timed

    def __enter__(self) -> timeit:
        self._starts.append(time.perf_counter())
        return self

    def __exit__(self, *exception: object) -> None:
        elapsed_s = time.perf_counter() - self._starts.pop()
        total = self._totals.setdefault(self.name, [0.0, 0])
        total[0] += elapsed_s
        total[1] += 1

    @classmethod
    def todict(cls, percall: bool = True, prefix: str | None = None) -> dict[str, float]:
        """Return seconds per label.

        Args:
            percall: the mean over calls; the sum otherwise.
            prefix: put before every label, with `/`.
        """
        head = f"{prefix}/" if prefix else ""
        return {
            head + name: seconds / calls if percall else seconds
            for name, (seconds, calls) in cls._totals.items()
        }

    @classmethod
    def count(cls, name: str) -> int:
        """Return how often `name` was timed."""
        return int(cls._totals.get(name, (0.0, 0))[1])

    @classmethod
    def print(cls, prefix: str | None = None) -> str:
        """Log one line per label, longest first, and return the text."""
        head = f"{prefix}/" if prefix else ""
        rows: list[tuple[str, Any]] = sorted(cls._totals.items(), key=lambda row: -row[1][0])
        lines = [
            f"{head}{name}: {1e3 * seconds / calls:.4f} ms per call, {seconds:.4f} s, {calls} calls"
            for name, (seconds, calls) in rows
        ]
        for line in lines:
            logger.info(line)
        return "\n".join(lines)

    @classmethod
    def erase(cls) -> None:
        """Forget every label."""
        cls._totals.clear()
