"""A service in a process of its own."""

from __future__ import annotations

import multiprocessing
import secrets
from collections.abc import Callable
from multiprocessing.context import BaseContext
from typing import Any

from rl.core.errors import WorkerError
from rl.core.services.base import ServiceCalls
from rl.core.services.channel import Channel, SocketChannel
from rl.core.services.engine import SHUTDOWN
from rl.core.services.owner import LocalService
from rl.core.services.serving import read_report, run_service
from rl.core.services.wire import TOKEN_BYTES

__all__ = ["ProcessService"]


class ProcessService(LocalService):
    """Runs an object in a process of its own.

    Calls travel over a socket of this machine that asks for a token; see `pack` for what arguments
    and results may be. The process ends the object and itself on `shutdown`, when this object's
    process exits, and also when that is killed.

    Args:
        make: makes the object; it is sent to the process with `multiprocessing`, so a function or
            class of a module, or `functools.partial` of one.
        calls: which methods may be called.
        name: what errors call the service.
        mp_context: a start method, `"spawn"` by default, or a multiprocessing context.
        transport: `"socket"`.
        max_queue_size: how many calls may wait in the process; more wait in the clients.
        startup_timeout: seconds until the object must be made.
        timeout: seconds until any call must be made.

    Example:
        >>> from collections import Counter
        >>> from rl.core.services import ServiceCalls
        >>> calls = ServiceCalls(client={"update", "total"})
        >>> with ProcessService(Counter, calls, name="letters") as service:
        ...     client = service.client()  # can be sent to workers
        ...     client.call("update", "abba")
        ...     client.call("total")
        4
    """

    service_backend = "process"
    transports = ("socket",)

    _process: Any = None

    def __init__(
        self,
        make: Callable[[], object],
        calls: ServiceCalls,
        *,
        name: str = "service",
        mp_context: str | BaseContext | None = None,
        transport: str | None = None,
        max_queue_size: int = 1000,
        startup_timeout: float = 60.0,
        timeout: float = 60.0,
    ) -> None:
        super().__init__(
            make,
            calls,
            name=name,
            transport=transport,
            max_queue_size=max_queue_size,
            startup_timeout=startup_timeout,
            timeout=timeout,
        )
        if not isinstance(mp_context, BaseContext):
            mp_context = multiprocessing.get_context(mp_context or "spawn")
        self._context: Any = mp_context

    @property
    def pid(self) -> int | None:
        """The number of the process, `None` before it starts."""
        return None if self._process is None else self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it takes calls: the process runs."""
        return self._owner is not None and self._process.is_alive()

    def _launch(self, timeout_s: float) -> Channel:
        token, self._client_token = (secrets.token_bytes(TOKEN_BYTES) for _ in range(2))
        tokens = {
            token: self.calls.of_owner | {SHUTDOWN},
            self._client_token: self.calls.client,
        }
        report, theirs = self._context.Pipe(duplex=False)
        self._process = self._context.Process(
            target=run_service,
            args=(self._make, self.calls, tokens, self._max_queue_size, theirs),
            name=f"rl-{self.name}",
            daemon=True,
        )
        with report:
            self._process.start()
            theirs.close()
            self._port = self._reported_port(report, timeout_s)
        return SocketChannel(self.name, self._port, token)

    def _reported_port(self, report: Any, timeout_s: float) -> int:  # noqa: ANN401
        try:
            told = read_report(report, timeout_s)
        except EOFError:
            self._end()
            self._is_over = True
            raise WorkerError(
                f"The process of service `{self.name}` ended with code {self._process.exitcode} "
                "before its object was made. Its output says why; a script that starts processes "
                'needs `if __name__ == "__main__":`.'
            ) from None
        if told is None:
            self._end()
            raise self._not_in_time(timeout_s)
        if "port" not in told:
            self._end()
            raise self._not_made(told["error"], told["traceback"])
        return told["port"]

    def _client_channel(self) -> Channel:
        return SocketChannel(self.name, self._port, self._client_token)

    def _join(self, timeout_s: float) -> None:
        self._process.join(timeout_s)

    def _end(self) -> None:
        self._process.join(0.5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join(5.0)
