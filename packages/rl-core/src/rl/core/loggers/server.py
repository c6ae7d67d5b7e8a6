"""What runs in the process of a logger: it takes calls one by one, and ends with its parent."""

from __future__ import annotations

import contextlib
import hmac
import multiprocessing
import os
import queue
import signal
import socket
import threading
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple

import numpy as np
import torch

from rl.core.errors import RLError
from rl.core.loggers.base import Logger
from rl.core.loggers.values import plain
from rl.core.loggers.wire import TOKEN_BYTES, receive, receive_exactly, send

__all__ = ["CLIENT_CALLS", "OWNER_CALLS", "run_logger"]

#: what everybody may ask for
CLIENT_CALLS = frozenset(("log_scalar", "log_metrics", "log_video", "log_histogram", "log_hparams"))
#: what only the process that made the logger may ask for
OWNER_CALLS = CLIENT_CALLS | {"flush", "state_dict", "load_state_dict", "close"}

# a logger that does not close in this time is left to the operating system
_CLOSE_TIMEOUT_S = 30.0
_TOKEN_TIMEOUT_S = 10.0


def run_logger(
    make: Callable[..., Logger],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    tokens: Mapping[bytes, frozenset[str]],
    max_queue_size: int,
    report: Connection,
) -> None:
    """Make a logger and serve it until it is closed or the parent process ends.

    Args:
        make: the logger's class, or what makes one.
        args: its arguments.
        kwargs: its keyword arguments.
        tokens: the calls that each token allows.
        max_queue_size: how many calls may wait; those after them wait in their senders.
        report: takes `{"port", "exp_name", "log_dir"}`, or `{"error", "traceback"}`.
    """
    # the parent decides when logging ends, also after Ctrl-C in the terminal of both
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        logger = make(*args, **kwargs)
        if not isinstance(logger, Logger):
            raise RLError(f"{make!r} made a {type(logger).__qualname__}, expected a `Logger`.")
        listener = socket.create_server(("127.0.0.1", 0))
    except BaseException as error:
        report.send(_failure(error))
        return
    server = _Server(logger, listener, tokens, max_queue_size)
    signal.signal(signal.SIGTERM, lambda *_: server.stop())
    report.send(
        {
            "port": listener.getsockname()[1],
            "exp_name": logger.exp_name,
            "log_dir": logger.log_dir,
        }
    )
    report.close()
    server.run()


class _Request(NamedTuple):
    call: str
    arguments: dict[str, Any]
    array: np.ndarray | None
    answer: Future[dict[str, Any]]


class _Server:
    """Takes calls from any number of connections and makes them in one thread."""

    def __init__(
        self,
        logger: Logger,
        listener: socket.socket,
        tokens: Mapping[bytes, frozenset[str]],
        max_queue_size: int,
    ) -> None:
        self._logger, self._listener, self._tokens = logger, listener, tokens
        # its `put` may be called in a signal handler
        self._requests: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._room = threading.BoundedSemaphore(max_queue_size)
        self._has_said_goodbye = threading.Event()

    def run(self) -> None:
        """Serve until `stop`, then close the logger."""
        for job in (self._accept, self._watch_parent):
            threading.Thread(target=job, daemon=True).start()
        while (request := self._requests.get()) is not None:
            if request.call == "close":
                _end_within(_CLOSE_TIMEOUT_S)
            request.answer.set_result(self._make(request))
            if request.call == "close":
                self._has_said_goodbye.wait(_TOKEN_TIMEOUT_S)
                return
        self._logger.close()

    def stop(self) -> None:
        """End after the calls that wait, or without them when one does not return."""
        _end_within(_CLOSE_TIMEOUT_S)
        self._requests.put(None)

    def _watch_parent(self) -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            # forked siblings may hold the sentinel open: the parent's number tells too
            number = os.getppid()
            while not wait([parent.sentinel], timeout=1.0) and os.getppid() == number:
                pass
            self.stop()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._read, args=(connection,), daemon=True).start()

    def _read(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            allowed = self._let_in(connection)
            while allowed and (received := receive(connection)) is not None:
                message, array = received
                send(connection, self._ask(message, array, allowed))
                if message["call"] == "close" and "close" in allowed:
                    self._has_said_goodbye.set()

    def _let_in(self, connection: socket.socket) -> frozenset[str]:
        connection.settimeout(_TOKEN_TIMEOUT_S)
        token = bytes(receive_exactly(connection, TOKEN_BYTES) or b"")
        connection.settimeout(None)
        allowed = [calls for known, calls in self._tokens.items() if _same(known, token)]
        return allowed[0] if allowed else frozenset()

    def _ask(
        self, message: dict[str, Any], array: np.ndarray | None, allowed: frozenset[str]
    ) -> dict[str, Any]:
        call = message["call"]
        if call not in allowed:
            error = RLError(f"`{call}` is not for workers: the owner of the logger calls it.")
            return _failure(error)
        request = _Request(call, message["arguments"], array, Future())
        with self._room:
            self._requests.put(request)
            return request.answer.result()

    def _make(self, request: _Request) -> dict[str, Any]:
        arguments = dict(request.arguments)
        if request.array is not None:
            # the buffer is the message's own
            name = "video" if request.call == "log_video" else "data"
            arguments[name] = torch.from_numpy(request.array)
        try:
            return {"result": plain(getattr(self._logger, request.call)(**arguments))}
        except Exception as error:
            return _failure(error)


def _end_within(timeout_s: float) -> None:
    """End the process after that time, whatever it is stuck in."""
    timer = threading.Timer(timeout_s, os._exit, [1])
    timer.daemon = True
    timer.start()


def _same(known: bytes, token: bytes) -> bool:
    return hmac.compare_digest(known, token)


def _failure(error: BaseException) -> dict[str, str]:
    text = "".join(traceback.format_exception(error))
    return {"error": f"{type(error).__qualname__}: {error}", "traceback": text}
