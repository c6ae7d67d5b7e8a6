"""When a monitor logs: after seconds, or after counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rl.core.errors import RLError

__all__ = ["Every"]


@dataclass(frozen=True)
class Every:
    """A schedule of `LoggerMonitor`; made with `Every.seconds` or `Every.counter`.

    Attributes:
        kind: `"seconds"` or `"counter"`.
        interval: seconds, or counts.
        key: the counter's name in `stats()`.

    Raises:
        ValueError: kind and key do not fit, or the interval is not above 0.

    Example:
        >>> Every.counter("frames", 1000)
        Every(kind='counter', interval=1000, key='frames')
    """

    kind: Literal["seconds", "counter"]
    interval: float
    key: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in ("seconds", "counter"):
            raise ValueError(f"`kind` is {self.kind!r}, expected 'seconds' or 'counter'.")
        if not self.interval > 0:
            raise ValueError(f"`interval` is {self.interval}, expected more than 0.")
        if (self.kind == "counter") != (self.key is not None):
            raise ValueError(
                f"`kind` is {self.kind!r} and `key` is {self.key!r}: a counter needs its name, "
                "seconds need none. Use `Every.seconds(10)` or `Every.counter('frames', 1000)`."
            )

    @classmethod
    def seconds(cls, interval: float) -> Every:
        """Return the schedule that is due each `interval` seconds."""
        return cls("seconds", interval)

    @classmethod
    def counter(cls, key: str, interval: float) -> Every:
        """Return the schedule that is due when the counter passes a multiple of `interval`.

        Args:
            key: the counter's name in `stats()`.
            interval: the distance of the multiples. Several passed at once are one log; a counter
                that went back, as after a reset, starts anew.
        """
        return cls("counter", interval, key)

    def mark(self, now_s: float, stats: dict[str, float]) -> float:
        """Return where the schedule stands: the time, or the number of multiples passed.

        Args:
            now_s: the time.
            stats: numbers by name.

        Raises:
            RLError: the counter is not among `stats`.
        """
        if self.kind == "seconds":
            return now_s
        if self.key not in stats:
            raise RLError(
                f"`stats()` has no counter `{self.key}`; it has {sorted(stats)}. Name one of "
                "these in `Every.counter`."
            )
        return stats[self.key] // self.interval

    def is_due(self, last: float, mark: float) -> bool:
        """Tell whether it is time to log, between two marks.

        Example:
            >>> every = Every.seconds(10.0)
            >>> every.is_due(100.0, 109.0), every.is_due(100.0, 110.0)
            (False, True)
        """
        return mark - last >= (self.interval if self.kind == "seconds" else 1)
