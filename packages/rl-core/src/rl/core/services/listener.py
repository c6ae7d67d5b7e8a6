"""Takes the calls of other processes of this machine."""

from __future__ import annotations

import contextlib
import hmac
import socket
import threading
from collections.abc import Mapping
from functools import partial
from typing import Any

from rl.core.services.engine import SHUTDOWN, Answer, Engine, failed
from rl.core.services.wire import (
    HOST,
    TOKEN_BYTES,
    MessageError,
    pack,
    receive,
    receive_exactly,
    send,
)

__all__ = ["Listener"]

_TOKEN_TIMEOUT_S = 10.0


class Listener:
    """Lets those who know a token ask an engine, over sockets of this machine.

    Args:
        engine: what makes the calls.
        tokens: the calls that each token allows.
    """

    def __init__(self, engine: Engine, tokens: Mapping[bytes, frozenset[str]]) -> None:
        self._engine, self._tokens = engine, dict(tokens)
        self._socket = socket.create_server((HOST, 0))
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._has_said_goodbye = threading.Event()
        self.port: int = self._socket.getsockname()[1]

    def start(self) -> None:
        """Take connections, in threads of their own."""
        threading.Thread(target=self._accept, daemon=True).start()

    def wait_for_goodbye(self) -> None:
        """Wait until the answer to `SHUTDOWN` is on its way."""
        self._has_said_goodbye.wait(_TOKEN_TIMEOUT_S)

    def close(self) -> None:
        """End all connections."""
        with self._lock:
            sockets = [self._socket, *self._connections]
        for each in sockets:
            with contextlib.suppress(OSError):  # the other side was quicker
                each.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                threading.Thread(target=self._read, args=(connection,), daemon=True).start()

    def _read(self, connection: socket.socket) -> None:
        with self._lock:
            self._connections.add(connection)
        # a client that is gone, or speaks otherwise, loses its connection
        with connection, contextlib.suppress(OSError, ValueError, LookupError, TypeError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            allowed = self._let_in(connection)
            while allowed and (message := receive(connection)) is not None:
                self._answer(connection, message, allowed)
        with self._lock:
            self._connections.discard(connection)

    def _answer(
        self, connection: socket.socket, message: dict[str, Any], allowed: frozenset[str]
    ) -> None:
        call = message["call"]
        parts = self._engine.ask(
            call,
            message["args"],
            message["kwargs"],
            allowed=allowed,
            finish=partial(_packed, call),
        )
        send(connection, parts)
        if call == SHUTDOWN and SHUTDOWN in allowed:
            self._has_said_goodbye.set()

    def _let_in(self, connection: socket.socket) -> frozenset[str]:
        connection.settimeout(_TOKEN_TIMEOUT_S)
        token = bytes(receive_exactly(connection, TOKEN_BYTES) or b"")
        connection.settimeout(None)
        allowed = [calls for known, calls in self._tokens.items() if _same(known, token)]
        return allowed[0] if allowed else frozenset()


def _packed(call: str, answer: Answer) -> list[memoryview]:
    try:
        return pack(answer._asdict(), copies=True)
    except MessageError as error:
        wrong = MessageError(f"What `{call}` returned cannot be sent. {error}")
        return pack(failed(wrong)._asdict())


def _same(known: bytes, token: bytes) -> bool:
    return hmac.compare_digest(known, token)
