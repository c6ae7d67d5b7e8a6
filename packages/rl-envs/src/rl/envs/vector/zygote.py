"""The template process: it imports the library once and forks a worker whenever it is asked to.

It never starts a thread and never makes an env, so its forks are safe and quick, and it does not
import the user's `__main__`, so scripts need no `if __name__ == "__main__"` guard.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import socket
import struct
import sys
import traceback

from rl.envs.vector import worker

__all__ = ["PID", "main"]

#: the answer to a request: the id of the new process
PID = struct.Struct("<q")
_PRELOAD = ("gymnasium",)


def main(socket_fd: int) -> None:
    """Fork a worker for each request, a byte with three descriptors, until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps the workers
    for module in _PRELOAD:
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    with socket.socket(fileno=socket_fd) as requests:
        while True:
            message, descriptors, _, _ = socket.recv_fds(requests, 1, 3)
            if not message:
                return
            pid = os.fork()
            if pid == 0:
                requests.close()
                run_and_exit(descriptors)
            for descriptor in descriptors:
                os.close(descriptor)
            requests.sendall(PID.pack(pid))


def run_and_exit(descriptors: list[int]) -> None:
    """Run a worker in a forked process, which ends here whatever happens."""
    status = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        worker.main(*descriptors)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)
