"""Wall time per label."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any, ClassVar, ParamSpec, TypeVar

import torch

from rl.core.errors import RLError
from rl.core.logging import logger

__all__ = ["timeit"]

P = ParamSpec("P")
R = TypeVar("R")


class timeit:  # noqa: N801  (the name that TorchRL users write)
    """Adds up wall time under a name, as a context manager or a decorator.

    Labels belong to the process: what is timed under one name adds up, wherever it is.

    Args:
        name: the label; `/` groups labels.
        sync: wait for the CUDA device before each reading of the clock, so that work that was
            only launched counts where it was launched.

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
    _calls_of_printevery: ClassVar[int] = 0
    _marks: ClassVar[dict[str, timeit]] = {}

    def __init__(self, name: str, *, sync: bool = False) -> None:
        self.name, self.sync = name, sync
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
        return self.start()

    def __exit__(self, *exception: object) -> None:
        elapsed_s = self._now() - self._starts.pop()
        total = self._totals.setdefault(self.name, [0.0, 0])
        total[0] += elapsed_s
        total[1] += 1

    def start(self) -> timeit:
        """Start, without a block to end it: `elapsed` reads the time."""
        self._starts.append(self._now())
        return self

    def elapsed(self) -> float:
        """Return the seconds since the start.

        Raises:
            RLError: it was not started.
        """
        if not self._starts:
            raise RLError(f"`{self.name}` is not started: use `with timeit(...)` or `start()`.")
        return self._now() - self._starts[-1]

    @classmethod
    def mark_start(cls, name: str) -> None:
        """Start `name`, which `mark_end` ends elsewhere; a second start replaces the first."""
        cls._marks[name] = cls(name).start()

    @classmethod
    def mark_end(cls, name: str) -> None:
        """End `name` and add its time.

        Raises:
            RLError: it was not started.
        """
        if name not in cls._marks:
            raise RLError(f"`{name}` was not started: call `timeit.mark_start({name!r})` before.")
        cls._marks.pop(name).__exit__()

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
    def printevery(
        cls, num_prints: int, total_count: int, *, prefix: str | None = None, erase: bool = False
    ) -> None:
        """Print at equal distances, when it is called at each of `total_count` iterations.

        Args:
            num_prints: how often to print in all.
            total_count: the number of calls that are expected.
            prefix: of `print`.
            erase: forget every label after printing.

        Raises:
            ValueError: a count is below 1.
        """
        if min(num_prints, total_count) < 1:
            raise ValueError(
                f"`num_prints` is {num_prints} and `total_count` {total_count}, expected 1 or more."
            )
        cls._calls_of_printevery += 1
        if cls._calls_of_printevery % max(1, total_count // num_prints) == 0:
            cls.print(prefix)
            if erase:
                cls.erase()

    @classmethod
    def reset(cls) -> None:
        """Forget every label, as `erase` does."""
        cls.erase()

    @classmethod
    def erase(cls) -> None:
        """Forget every label."""
        cls._totals.clear()

    def _now(self) -> float:
        if self.sync and torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter()
