"""One process at a time trains in a run folder."""

from __future__ import annotations

import os
import time
from pathlib import Path

from rl.core.errors import RLError

try:
    import fcntl
except ImportError:  # not a POSIX system: nothing guards the folder there
    fcntl = None  # type: ignore[assignment]

__all__ = ["RunBusyError", "RunLock"]

_POLL_S = 0.1


class RunBusyError(RLError, BlockingIOError):
    """Another process trains in the run folder."""


class RunLock:
    """A lock that a process holds until it releases it or dies, however it dies.

    It is a record lock: worker processes do not inherit it, so none can hold it after a crash.

    Args:
        folder: the run folder; the lock is its file `.lock`.

    Example:
        >>> import tempfile
        >>> lock = RunLock(Path(tempfile.mkdtemp()))
        >>> lock.acquire()
        >>> lock.release()
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / ".lock"
        self._descriptor: int | None = None

    def acquire(self, wait_s: float = 0.0) -> None:
        """Take the lock; nothing happens when it is held already.

        Args:
            wait_s: how long to wait for a process that holds it.

        Raises:
            RunBusyError: it is still held; the message names the process.
        """
        if fcntl is None or self._descriptor is not None:
            return
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        deadline = time.monotonic() + wait_s
        while True:
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if time.monotonic() < deadline:
                    time.sleep(_POLL_S)
                    continue
                holder = os.read(descriptor, 20).decode().strip() or "another"
                os.close(descriptor)
                raise RunBusyError(
                    f"`{self.path.parent}` is being trained by process {holder}. Wait for it, or "
                    f"stop it with `kill {holder}` (it saves first)."
                ) from error
        os.truncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        self._descriptor = descriptor

    def release(self) -> None:
        """Let go of the lock; nothing happens when it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
