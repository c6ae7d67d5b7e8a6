"""Starting worker processes: forked from a template process, from this one, or spawned."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time

from rl.core import RLError, WorkerError, nearest
from rl.envs.vector.zygote import PID, run_and_exit

__all__ = ["START_METHODS", "Process", "launch"]

#: "forkserver" forks from a process that only imported the library
START_METHODS = ("forkserver", "spawn", "fork")
_IMPORT_TIMEOUT_S = 120.0


class Process:
    """A worker process.

    Args:
        pid: its id.
        popen: its handle when it was spawned.
        is_child: whether this process has to reap it.
    """

    def __init__(
        self, pid: int, popen: subprocess.Popen | None = None, is_child: bool = False
    ) -> None:
        self.pid = pid
        self._popen = popen
        self._is_child = is_child
        self._is_gone = False

    def is_alive(self) -> bool:
        """Tell whether the process runs."""
        if self._is_gone:
            return False
        if self._popen is not None:
            self._is_gone = self._popen.poll() is not None
        elif self._is_child:
            with contextlib.suppress(ChildProcessError):
                self._is_gone = os.waitpid(self.pid, os.WNOHANG)[0] == self.pid
        else:
            try:
                os.kill(self.pid, 0)
            except ProcessLookupError:
                self._is_gone = True
        return not self._is_gone

    def join(self, timeout_s: float) -> bool:
        """Wait for the process to end; tell whether it did."""
        deadline = time.monotonic() + timeout_s
        pause = 0.0005
        while self.is_alive():
            if time.monotonic() > deadline:
                return False
            time.sleep(pause)
            pause = min(2 * pause, 0.05)
        return True

    def kill(self) -> None:
        """End the process at once."""
        if self.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self.join(5.0)


def launch(method: str, descriptors: list[int]) -> Process:
    """Start a worker that owns copies of `descriptors` (read, write, memory).

    Raises:
        RLError: the start method is unknown.
        WorkerError: the process could not be started.
    """
    if method == "forkserver":
        return _template().fork(descriptors)
    if method == "spawn":
        call = f"from rl.envs.vector.worker import main; main({', '.join(map(str, descriptors))})"
        popen = subprocess.Popen([sys.executable, "-c", call], pass_fds=descriptors)
        return Process(popen.pid, popen)
    if method == "fork":
        pid = os.fork()
        if pid == 0:
            _let_go_of_others(descriptors)
            run_and_exit(descriptors)
        return Process(pid, is_child=True)
    raise RLError(f"`{method}` is no start method. {nearest(method, START_METHODS)}")


def _let_go_of_others(descriptors: list[int]) -> None:
    """Close what a forked child inherits, so that its pipes end when this process does.

    The numbers stay taken: what the child inherits in memory, such as shared tensors of torch,
    closes its own when it goes, and must not close another's.
    """
    inherited = {int(name) for name in os.listdir("/dev/fd")} - {0, 1, 2, *descriptors}
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in inherited - {nothing}:
        os.dup2(nothing, descriptor, inheritable=False)


class _Template:
    """The template process of this process, and the socket on which forks are asked for."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self._lock = threading.Lock()
        self._socket, theirs = socket.socketpair()
        self._socket.settimeout(_IMPORT_TIMEOUT_S)
        call = f"from rl.envs.vector.zygote import main; main({theirs.fileno()})"
        with theirs:
            self._popen = subprocess.Popen([sys.executable, "-c", call], pass_fds=[theirs.fileno()])

    def is_usable(self) -> bool:
        return self.owner == os.getpid() and self._popen.poll() is None

    def fork(self, descriptors: list[int]) -> Process:
        try:
            with self._lock:
                socket.send_fds(self._socket, [b"f"], descriptors)
                answer = self._socket.recv(PID.size)
        except OSError as error:
            raise WorkerError(
                f"The template process (pid {self._popen.pid}) does not answer: {error}. Its "
                'output says why; `mp_start_method="spawn"` does without it.'
            ) from error
        if len(answer) != PID.size:
            raise WorkerError(
                f"The template process (pid {self._popen.pid}) stopped. Its output says why; "
                '`mp_start_method="spawn"` does without it.'
            )
        return Process(PID.unpack(answer)[0])

    def stop(self) -> None:
        if self.owner != os.getpid():
            return
        self._socket.close()
        try:
            self._popen.wait(5.0)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait(5.0)


_templates: list[_Template] = []
_templates_lock = threading.Lock()


def _template() -> _Template:
    with _templates_lock:
        if not _templates or not _templates[-1].is_usable():
            _templates[:] = [_Template()]
            atexit.register(_templates[-1].stop)
        return _templates[-1]
