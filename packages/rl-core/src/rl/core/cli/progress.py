"""How the `rl` command shows a training: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TextIO

from rl.core.optional import optional
from rl.core.runs.curve import RETURN_KEY
from rl.core.runs.run import Reporter

rich_console = optional("rich.console", extra="rl-core[cli]")
rich_progress = optional("rich.progress", extra="rl-core[cli]")

__all__ = ["BarReporter", "LineReporter", "reporter_for"]


class _Speed:
    """Frames per second and seconds left, over the time of this process."""

    def __init__(self, total: int | None) -> None:
        self.total = total
        self.start(0)

    def start(self, frames: int) -> None:
        self._from = frames
        self._since = time.monotonic()

    def fps(self, frames: int) -> float:
        return (frames - self._from) / max(time.monotonic() - self._since, 1e-9)

    def left_s(self, frames: int) -> float | None:
        fps = self.fps(frames)
        if self.total is None or fps <= 0:
            return None
        return max(self.total - frames, 0) / fps


class LineReporter:
    """Writes a plain line at most every `interval_s`, and one for the last update.

    Args:
        stream: where the lines go.
        total: frames of the whole training, `None` when unknown.
        interval_s: least seconds between two lines.

    Example:
        >>> import io
        >>> stream = io.StringIO()
        >>> reporter = LineReporter(stream, total=100, interval_s=0.0)
        >>> reporter.start(0)
        >>> reporter.update(50, {"episode_return": 2.0})
        >>> stream.getvalue().split("  ")[:2]
        ['frames 50/100', 'return 2.00']
    """

    def __init__(self, stream: TextIO, *, total: int | None, interval_s: float = 5.0) -> None:
        self._stream = stream
        self._speed = _Speed(total)
        self._interval_s = interval_s
        self._written_at = 0.0
        self._pending: str | None = None
        self._return: float | None = None

    def start(self, frames: int) -> None:
        """Count speed from here."""
        self._speed.start(frames)

    def update(self, frames: int, metrics: Mapping[str, object]) -> None:
        """Write a line when the last is old enough."""
        self._return = _latest_return(metrics, self._return)
        self._pending = self._line(frames)
        if time.monotonic() - self._written_at >= self._interval_s:
            self._write()

    def close(self) -> None:
        """Write the last update when no line has shown it."""
        if self._pending is not None:
            self._write()

    def _line(self, frames: int) -> str:
        total = f"/{self._speed.total}" if self._speed.total is not None else ""
        parts = [f"frames {frames}{total}"]
        if self._return is not None:
            parts.append(f"return {self._return:.2f}")
        parts.append(f"fps {self._speed.fps(frames):.0f}")
        left_s = self._speed.left_s(frames)
        if left_s is not None:
            parts.append(f"left {_clock(left_s)}")
        return "  ".join(parts)

    def _write(self) -> None:
        self._stream.write(f"{self._pending}\n")
        self._stream.flush()
        self._pending = None
        self._written_at = time.monotonic()


class BarReporter:
    """Shows a live bar with frames, fps, return and time left.

    Args:
        stream: the terminal.
        total: frames of the whole training, `None` when unknown.

    Raises:
        MissingDependencyError: rich is not installed.

    Example:
        >>> import io
        >>> reporter = BarReporter(io.StringIO(), total=10)
        >>> reporter.start(0)
        >>> reporter.update(10, {})
        >>> reporter.close()
    """

    def __init__(self, stream: TextIO, *, total: int | None) -> None:
        self._speed = _Speed(total)
        self._return: float | None = None
        self._bar = rich_progress.Progress(
            rich_progress.BarColumn(bar_width=None),
            rich_progress.MofNCompleteColumn(),
            rich_progress.TextColumn("{task.fields[note]}"),
            console=rich_console.Console(file=stream),
        )
        self._task = self._bar.add_task("", total=total, note="")

    def start(self, frames: int) -> None:
        """Show the bar."""
        self._speed.start(frames)
        self._bar.start()
        self._bar.update(self._task, completed=frames)

    def update(self, frames: int, metrics: Mapping[str, object]) -> None:
        """Move the bar."""
        self._return = _latest_return(metrics, self._return)
        shown = "-" if self._return is None else f"{self._return:.2f}"
        left_s = self._speed.left_s(frames)
        left = "-" if left_s is None else _clock(left_s)
        note = f"fps {self._speed.fps(frames):.0f}  return {shown}  left {left}"
        self._bar.update(self._task, completed=frames, note=note)

    def close(self) -> None:
        """Leave the bar as it is."""
        self._bar.stop()


def reporter_for(stream: TextIO, total: int | None) -> Reporter:
    """Return a bar for a terminal, plain lines otherwise."""
    if stream.isatty():
        return BarReporter(stream, total=total)
    return LineReporter(stream, total=total)


def _latest_return(metrics: Mapping[str, object], before: float | None) -> float | None:
    value = metrics.get(RETURN_KEY)
    return float(value) if isinstance(value, float | int) else before


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
