"""What the owners of local services share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NoReturn, Self

from rl.core.errors import RLError, WorkerError, nearest
from rl.core.services.base import ServiceCalls
from rl.core.services.channel import Channel
from rl.core.services.client import ServiceClient
from rl.core.services.defaults import default_transport
from rl.core.services.engine import SHUTDOWN

__all__ = ["LocalService"]


class LocalService(ABC):
    """Owns an object that runs elsewhere on this machine; see `ThreadService`, `ProcessService`.

    Args:
        make: makes the object, where it runs.
        calls: its methods that may be called.
        name: what errors call the service.
        transport: how calls get there, see `transport_backend`.
        max_queue_size: how many calls may wait in the service; more wait in the clients.
        startup_timeout: seconds until the object must be made.
        timeout: seconds until any call must be made.
    """

    #: the name of the backend
    service_backend: str
    #: the transports that it has; the first is `"auto"`
    transports: tuple[str, ...]

    def __init__(
        self,
        make: Callable[[], object],
        calls: ServiceCalls,
        *,
        name: str = "service",
        transport: str | None = None,
        max_queue_size: int = 1000,
        startup_timeout: float = 60.0,
        timeout: float = 60.0,
    ) -> None:
        if not callable(make):
            raise TypeError(
                f"`make` is a {type(make).__qualname__}, expected a function that makes the object "
                "of the service, such as its class or `functools.partial(cls, ...)`."
            )
        if max_queue_size < 1:
            raise ValueError(f"`max_queue_size` is {max_queue_size}, expected 1 or more.")
        self.name, self.calls, self.timeout = name, calls, timeout
        self.transport = self._transport(transport)
        self._make, self._max_queue_size = make, max_queue_size
        self._startup_timeout = startup_timeout
        self._owner: ServiceClient | None = None
        self._is_over = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def __getstate__(self) -> NoReturn:
        raise RLError(
            f"Service `{self.name}` stays in the process that made it: give workers "
            "`service.client()`."
        )

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exception: object) -> None:
        self.shutdown()

    def start(self) -> Self:
        """Make the object and take calls; nothing when it runs.

        Raises:
            WorkerError: the object could not be made (with its traceback), or not in time.
            RLError: the service was shut down.
        """
        if self._is_over:
            raise RLError(f"Service `{self.name}` was shut down: make another one.")
        if self._owner is None:
            self._owner = ServiceClient(self._launch(self._startup_timeout), self.timeout)
        return self

    @property
    @abstractmethod
    def is_alive(self) -> bool:
        """Whether it takes calls."""

    def client(self) -> ServiceClient:
        """Return what workers ask with.

        Raises:
            RLError: the service does not run yet.
        """
        self._running()
        return ServiceClient(self._client_channel(), self.timeout)

    def call(self, name: str, /, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Have the service make a call of its owner, and return what it returned.

        Args:
            name: the method.
            *args: its arguments.
            **kwargs: its keyword arguments.

        Raises:
            WorkerError: see `ServiceClient.call`.
        """
        return self._running().call(name, *args, **kwargs)

    def with_timeout(self, timeout: float | None) -> ServiceClient:
        """Return the owner's way to ask, which waits so many seconds for a call."""
        return self._running().with_timeout(timeout)

    def shutdown(self, timeout: float | None = None) -> None:
        """End the service; nothing when that was done.

        Args:
            timeout: seconds given to it, those of the calls by default.

        Raises:
            WorkerError: the object raised when it was ended, or was not ended in time, or the
                service was gone before; it is gone in any case.
        """
        if self._is_over or self._owner is None:
            self._is_over = True
            return
        self._is_over = True
        timeout = self.timeout if timeout is None else timeout
        try:
            self._owner.with_timeout(timeout).call(SHUTDOWN)
            self._join(timeout)
        finally:
            self._owner.close()
            self._end()

    @abstractmethod
    def _launch(self, timeout_s: float) -> Channel:
        """Make the object, start to take calls, and return the owner's way to it."""

    @abstractmethod
    def _client_channel(self) -> Channel:
        """Return a way for clients."""

    @abstractmethod
    def _join(self, timeout_s: float) -> None:
        """Wait for the end, which was asked for."""

    @abstractmethod
    def _end(self) -> None:
        """End it, whatever it does."""

    def _running(self) -> ServiceClient:
        if self._owner is None:
            raise RLError(f"Service `{self.name}` does not run: call `start()` first.")
        return self._owner

    def _not_in_time(self, timeout_s: float) -> WorkerError:
        self._is_over = True
        return WorkerError(
            f"The object of service `{self.name}` was not there after {timeout_s:g} s: give more "
            "`startup_timeout`."
        )

    def _not_made(self, error: str | None, traceback: str) -> WorkerError:
        self._is_over = True
        return WorkerError(
            f"The object of service `{self.name}` could not be made: {error}. "
            f"Its traceback follows.\n\n{traceback}"
        )

    def _transport(self, given: str | None) -> str:
        transport = given or default_transport()
        if transport == "auto":
            return self.transports[0]
        if transport not in self.transports:
            raise RLError(
                f"A service of the backend `{self.service_backend}` has no transport "
                f"`{transport}`. {nearest(transport, ('auto', *self.transports))}"
            )
        return transport
