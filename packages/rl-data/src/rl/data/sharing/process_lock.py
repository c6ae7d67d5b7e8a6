"""A lock between processes that the system takes back from a process that dies."""

from __future__ import annotations

import os
import threading
import time
import weakref
from pathlib import Path
from typing import ClassVar

from rl.core.errors import WorkerError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["ProcessLock"]

_PAUSE_S = (2e-5, 5e-4)


class ProcessLock:
    """A re-entrant lock between the threads and processes that name the same file.

    It is a record lock of POSIX: the kernel frees it when its process ends, however it ends, so
    that nobody waits for the dead. A process that lives and keeps it makes the others raise.

    Args:
        path: the file, made when need be.
        timeout_s: longest wait.

    Raises:
        RuntimeError: the system has no record locks.

    Example:
        >>> import tempfile
        >>> lock = ProcessLock.of(Path(tempfile.mkdtemp()) / "lock", timeout_s=1.0)
        >>> with lock, lock:
        ...     lock.depth
        2
    """

    _known: ClassVar[weakref.WeakValueDictionary[str, ProcessLock]] = weakref.WeakValueDictionary()

    @classmethod
    def of(cls, path: Path, timeout_s: float) -> ProcessLock:
        """Return the lock of a file: one per process, since a record lock knows no threads."""
        key = str(path.resolve())
        lock = cls._known.get(key)
        if lock is None:
            lock = cls._known[key] = cls(path, timeout_s)
        return lock

    def __init__(self, path: Path, timeout_s: float) -> None:
        if fcntl is None:
            raise RuntimeError(
                "A buffer shared between processes needs POSIX record locks, which this system "
                "lacks. Keep the buffer in one process."
            )
        self.path = path
        self.timeout_s = timeout_s
        self._open()

    def _open(self) -> None:
        self._process = os.getpid()
        self._threads = threading.RLock()
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        weakref.finalize(self, os.close, self._file)
        self.depth = 0

    def acquire(self) -> None:
        """Wait for the lock.

        Raises:
            WorkerError: another process has kept it for `timeout_s`.
        """
        if os.getpid() != self._process:  # a fork inherits neither the lock nor the threads
            self._open()
        if not self._threads.acquire(timeout=self.timeout_s):
            raise WorkerError(
                f"A thread of this process has kept the shared buffer for {self.timeout_s} s. Look "
                "for a transform or a collate function that does not return."
            )
        if self.depth == 0:
            try:
                self._wait()
            except BaseException:
                self._threads.release()
                raise
        self.depth += 1

    def _wait(self) -> None:
        deadline = time.monotonic() + self.timeout_s
        pause, longest = _PAUSE_S
        while True:
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                if time.monotonic() > deadline:
                    raise self._stuck() from None
                time.sleep(pause)
                pause = min(2 * pause, longest)
            else:
                os.pwrite(self._file, b"%020d" % os.getpid(), 0)
                return

    def _stuck(self) -> WorkerError:
        holder = int(os.pread(self._file, 20, 0) or 0)
        return WorkerError(
            f"Process {holder} has kept the shared buffer for {self.timeout_s} s: it is stopped or "
            "hangs in a write. End it, and the buffer goes on without its write; or raise "
            "`shared_timeout_s`."
        )

    def release(self) -> None:
        """Give the lock back."""
        self.depth -= 1
        if self.depth == 0:
            fcntl.lockf(self._file, fcntl.LOCK_UN)
        self._threads.release()

    def __enter__(self) -> ProcessLock:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
