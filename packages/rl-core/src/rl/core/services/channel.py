"""The ways to a service: straight to its thread, or over a socket of this machine."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, Protocol

from rl.core.errors import RLError, WorkerError
from rl.core.services.engine import Answer, Engine
from rl.core.services.wire import HOST, pack, receive, send

__all__ = ["Channel", "DirectChannel", "SocketChannel"]


class Channel(Protocol):
    """A way to ask a service for calls."""

    name: str

    def ask(
        self, call: str, args: Sequence[Any], kwargs: Mapping[str, Any], timeout_s: float
    ) -> Any:  # noqa: ANN401
        """Have the service make a call, and return what it returned.

        Args:
            call: the method.
            args: its arguments.
            kwargs: its keyword arguments.
            timeout_s: how long the answer may take.

        Raises:
            WorkerError: the call raised there (with its traceback), or the service is gone or
                silent.
        """
        ...

    def disconnect(self) -> None:
        """End the connection; the next call opens another."""
        ...


class DirectChannel:
    """The way to a service in a thread of this process: nothing is copied.

    Args:
        name: of the service.
        engine: what makes the calls.
        allowed: the calls that may be asked for.

    Example:
        >>> from rl.core.services import ServiceCalls
        >>> engine = Engine([], ServiceCalls(client={"append"}))
        >>> channel = DirectChannel("list", engine, frozenset({"append"}))
        >>> channel.ask("append", (1,), {}, timeout_s=0.01)
        Traceback (most recent call last):
        rl.core.errors.WorkerError: Service `list` did not answer `append` in 0.01 s: ...
    """

    def __init__(self, name: str, engine: Engine, allowed: frozenset[str]) -> None:
        self.name = name
        self._engine, self._allowed, self._process = engine, allowed, os.getpid()

    def __getstate__(self) -> NoReturn:
        raise RLError(
            f"A client of service `{self.name}`, which runs in a thread, stays in its process. To "
            'send it to workers, serve with `transport="socket"` or with `"process"`.'
        )

    def ask(
        self, call: str, args: Sequence[Any], kwargs: Mapping[str, Any], timeout_s: float
    ) -> Any:  # noqa: ANN401
        """Have the service make a call; see `Channel.ask`."""
        if self._process != os.getpid():
            raise WorkerError(_gone(self.name, call, "its thread is not in this forked process"))
        try:
            answer = self._engine.ask(
                call, args, kwargs, allowed=self._allowed, timeout_s=timeout_s
            )
        except TimeoutError as error:
            raise WorkerError(_silent(self.name, call, timeout_s)) from error
        except ConnectionError as error:
            raise WorkerError(_gone(self.name, call, str(error))) from error
        return _result(self.name, call, answer)

    def disconnect(self) -> None:
        """Do nothing: there is no connection."""


class SocketChannel:
    """The way to a service of this machine; it can be pickled and connects where it is used.

    Args:
        name: of the service.
        port: where it listens, on this machine.
        token: what lets in.

    Example:
        >>> channel = SocketChannel("logger", 1, b"0" * 32)
        >>> channel.ask("log_scalar", ("loss", 0.5), {}, timeout_s=5.0)
        Traceback (most recent call last):
        rl.core.errors.WorkerError: Service `logger` is gone ...
    """

    def __init__(self, name: str, port: int, token: bytes) -> None:
        self.name, self.port, self._token = name, port, token
        self._forget()

    def __getstate__(self) -> tuple[str, int, bytes]:
        return self.name, self.port, self._token

    def __setstate__(self, state: tuple[str, int, bytes]) -> None:
        self.__init__(*state)  # type: ignore[misc]

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError):  # not made in full
            self.disconnect()

    def ask(
        self, call: str, args: Sequence[Any], kwargs: Mapping[str, Any], timeout_s: float
    ) -> Any:  # noqa: ANN401
        """Have the service make a call; see `Channel.ask`.

        Raises:
            MessageError: an argument is of a kind that messages cannot hold.
        """
        message = pack({"call": call, "args": list(args), "kwargs": dict(kwargs)})
        if self._process != os.getpid():
            self.disconnect()  # forked: the parent's connection is not ours
            self._forget()
        with self._lock:
            try:
                connection = self._connected(timeout_s)
                send(connection, message)
                answer = receive(connection)
            except TimeoutError as error:
                self.disconnect()
                raise WorkerError(_silent(self.name, call, timeout_s)) from error
            except OSError as error:
                self.disconnect()
                raise WorkerError(_gone(self.name, call, str(error))) from error
            except BaseException:
                self.disconnect()  # Ctrl-C: the answer is still to come, and not to the next call
                raise
            if answer is None:
                self.disconnect()
                raise WorkerError(_gone(self.name, call, "it closed the connection"))
        return _result(self.name, call, Answer(**answer))

    def disconnect(self) -> None:
        """End the connection; the next call opens another."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _forget(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._connection: socket.socket | None = None

    def _connected(self, timeout_s: float) -> socket.socket:
        if self._connection is None:
            self._connection = socket.create_connection((HOST, self.port), timeout=timeout_s)
            self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connection.sendall(self._token)
        self._connection.settimeout(timeout_s)
        return self._connection


def _result(name: str, call: str, answer: Answer) -> Any:  # noqa: ANN401
    if answer.error is None:
        return answer.result
    raise WorkerError(
        f"Service `{name}` failed in `{_shown(call)}`: {answer.error.rstrip('.')}. "
        f"Its traceback follows.\n\n{answer.traceback}"
    )


def _silent(name: str, call: str, timeout_s: float) -> str:
    return (
        f"Service `{name}` did not answer `{_shown(call)}` in {timeout_s:g} s: it is stuck, or has "
        "too much to do. Call it less, or give more `timeout`."
    )


def _gone(name: str, call: str, reason: str) -> str:
    return (
        f"Service `{name}` is gone ({reason}), so that `{_shown(call)}` was not answered: it was "
        "shut down, was killed, or ended with the process that made it. Make another one."
    )


def _shown(call: str) -> str:
    return call.removeprefix("$")  # of `SHUTDOWN`, which is no method of the object
