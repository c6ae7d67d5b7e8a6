"""Whether another process of this machine still runs, and waits that end."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable

__all__ = ["Peer", "wait_until"]

#: between two looks, in seconds: the first and the longest
_SHORTEST_S, _LONGEST_S = 2e-5, 2e-3


class Peer:
    """Another process of this machine, which may end at any time.

    Args:
        pid: its number.

    Example:
        >>> Peer(os.getpid()).is_alive()
        True
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._file: int | None = None
        self._is_gone = False
        if hasattr(os, "pidfd_open"):
            try:
                # the file means this process, whoever is given its number later
                self._file = os.pidfd_open(pid)
            except ProcessLookupError:
                self._is_gone = True

    def is_alive(self) -> bool:
        """Return whether the process runs; one that ended and was not waited for does not."""
        if self._is_gone:
            return False
        if self._file is not None:
            poll = select.poll()
            poll.register(self._file, select.POLLIN)
            self._is_gone = bool(poll.poll(0))
        else:
            try:
                os.kill(self.pid, 0)
            except ProcessLookupError:
                self._is_gone = True
        return not self._is_gone

    def close(self) -> None:
        """Give the system its file back."""
        if self._file is not None:
            os.close(self._file)
        self._file, self._is_gone = None, True


def wait_until(
    is_ready: Callable[[], bool], timeout_s: float, is_hopeless: Callable[[], bool] | None = None
) -> bool:
    """Wait, and return whether it became ready.

    Args:
        is_ready: asked again and again, and once more after all.
        timeout_s: the longest wait, in seconds.
        is_hopeless: ends the wait early; it is asked less often.

    Example:
        >>> wait_until(lambda: False, 0.01)
        False
    """
    deadline = time.monotonic() + timeout_s
    pause, next_look = _SHORTEST_S, 0.0
    while not is_ready():
        now = time.monotonic()
        if now >= deadline:
            return is_ready()
        if is_hopeless is not None and now >= next_look:
            if is_hopeless():
                return is_ready()
            next_look = now + 0.02
        time.sleep(min(pause, deadline - now))
        pause = min(2 * pause, _LONGEST_S)
    return True
