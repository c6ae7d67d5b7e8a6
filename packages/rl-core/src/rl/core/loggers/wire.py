"""Messages between the process of a logger and those who log: JSON, then the bytes of an array."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import threading
from typing import Any

import numpy as np

from rl.core.errors import WorkerError

__all__ = ["TOKEN_BYTES", "Channel", "receive", "receive_exactly", "send"]

#: what a client says first, so that no other program of this machine is let in
TOKEN_BYTES = 32
_HOST = "127.0.0.1"
_LENGTHS = struct.Struct(">IQ")


def send(
    connection: socket.socket, message: dict[str, Any], array: np.ndarray | None = None
) -> None:
    """Send a message.

    Args:
        connection: a stream socket.
        message: what JSON holds.
        array: of numbers.

    Example:
        >>> ours, theirs = socket.socketpair()
        >>> send(ours, {"call": "log"}, np.arange(3))
        >>> receive(theirs)
        ({'call': 'log'}, array([0, 1, 2]))
        >>> ours.close()
        >>> receive(theirs) is None
        True
        >>> theirs.close()
    """
    content = {"message": message, "dtype": None, "shape": None}
    data = b""
    if array is not None:
        content["dtype"], content["shape"] = array.dtype.str, list(array.shape)
        data = np.ascontiguousarray(array).tobytes()
    header = json.dumps(content).encode()
    connection.sendall(_LENGTHS.pack(len(header), len(data)) + header + data)


def receive(connection: socket.socket) -> tuple[dict[str, Any], np.ndarray | None] | None:
    """Return the next message and its array, `None` when the other side is gone."""
    lengths = receive_exactly(connection, _LENGTHS.size)
    if lengths is None:
        return None
    header_bytes, array_bytes = _LENGTHS.unpack(lengths)
    header = receive_exactly(connection, header_bytes)
    data = receive_exactly(connection, array_bytes)
    if header is None or data is None:
        return None
    content = json.loads(header)
    if content["dtype"] is None:
        return content["message"], None
    array = np.frombuffer(data, dtype=content["dtype"]).reshape(content["shape"])
    return content["message"], array


def receive_exactly(connection: socket.socket, size: int) -> bytearray | None:
    """Return `size` bytes, `None` when the other side is gone."""
    data = bytearray(size)
    view = memoryview(data)
    while view.nbytes:
        received = connection.recv_into(view)
        if received == 0:
            return None
        view = view[received:]
    return data


class Channel:
    """A way to ask the process of a logger; it can be pickled and connects where it is used.

    Args:
        port: where the process listens, on this machine.
        token: what lets in.
        timeout_s: how long an answer may take.

    Example:
        >>> channel = Channel(1, b"0" * TOKEN_BYTES, 5.0)
        >>> channel.ask("log_scalar", {"name": "loss", "value": 0.5})
        Traceback (most recent call last):
        rl.core.errors.WorkerError: The process of the logger is gone ...
    """

    def __init__(self, port: int, token: bytes, timeout_s: float) -> None:
        self.port, self.token, self.timeout_s = port, token, timeout_s
        self._forget()

    def __getstate__(self) -> tuple[int, bytes, float]:
        return self.port, self.token, self.timeout_s

    def __setstate__(self, state: tuple[int, bytes, float]) -> None:
        self.__init__(*state)  # type: ignore[misc]

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError):  # not made in full
            self.disconnect()

    def ask(
        self,
        call: str,
        arguments: dict[str, Any],
        array: np.ndarray | None = None,
        timeout_s: float | None = None,
    ) -> Any:  # noqa: ANN401
        """Have the process make a call, and return what it returned.

        Args:
            call: the method of the logger.
            arguments: its arguments, as JSON holds them.
            array: its argument that is an array.
            timeout_s: how long the answer may take; the channel's own by default.

        Raises:
            WorkerError: the call raised there (with its traceback), or the process is gone or
                silent.
        """
        if self._owner != os.getpid():
            self.disconnect()  # forked: the parent's connection is not ours
            self._forget()
        timeout_s = self.timeout_s if timeout_s is None else timeout_s
        with self._lock:
            try:
                connection = self._connected(timeout_s)
                send(connection, {"call": call, "arguments": arguments}, array)
                answer = receive(connection)
            except TimeoutError as error:
                self.disconnect()
                raise WorkerError(
                    f"The process of the logger did not answer `{call}` in {timeout_s:g} s: what "
                    "it writes to is slow or stuck. Log less, or give more `timeout`."
                ) from error
            except OSError as error:
                self.disconnect()
                raise WorkerError(_gone(call, str(error))) from error
            if answer is None:
                self.disconnect()
                raise WorkerError(_gone(call, "it closed the connection"))
        message, _ = answer
        if "error" in message:
            raise WorkerError(
                f"The process of the logger failed in `{call}`: {message['error']}. "
                f"Its traceback follows.\n\n{message['traceback']}"
            )
        return message["result"]

    def disconnect(self) -> None:
        """End the connection; the next call opens another."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _forget(self) -> None:
        self._owner = os.getpid()
        self._lock = threading.Lock()
        self._connection: socket.socket | None = None

    def _connected(self, timeout_s: float) -> socket.socket:
        if self._connection is None:
            self._connection = socket.create_connection((_HOST, self.port), timeout=timeout_s)
            self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connection.sendall(self.token)
        self._connection.settimeout(timeout_s)
        return self._connection


def _gone(call: str, reason: str) -> str:
    return (
        f"The process of the logger is gone ({reason}), so that `{call}` was not done: it was shut "
        "down, was killed, or ended with the process that made it. Make another `ProcessLogger`."
    )
