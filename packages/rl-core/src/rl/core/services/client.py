"""What workers ask a service with."""

from __future__ import annotations

from typing import Any

from rl.core.services.channel import Channel

__all__ = ["ServiceClient"]


class ServiceClient:
    """Asks a service for the calls that its clients may make.

    Calls return when the service has made them. A client of a process can be pickled and used by
    any process of this machine, and by several threads, one after the other.

    Args:
        channel: the way to the service.
        timeout: seconds until any call must be made.

    Example:
        >>> from collections import Counter
        >>> from rl.core.services import ServiceCalls, ThreadService
        >>> with ThreadService(Counter, ServiceCalls(client={"update", "total"})) as service:
        ...     client = service.client()
        ...     client.call("update", "abba")
        ...     client.call("total")
        4
    """

    def __init__(self, channel: Channel, timeout: float = 60.0) -> None:
        self._channel = channel
        self.timeout = timeout

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._channel.name!r})"

    def call(self, name: str, /, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Have the service make a call, and return what it returned.

        Args:
            name: the method.
            *args: its arguments.
            **kwargs: its keyword arguments.

        Raises:
            WorkerError: the call raised there (with its traceback), clients may not make it, or the
                service is gone, or silent for `timeout` seconds; then the call may still be made.
            MessageError: an argument is of a kind that cannot be sent.
        """
        return self._channel.ask(name, args, kwargs, self.timeout)

    def with_timeout(self, timeout: float | None) -> ServiceClient:
        """Return a client that waits so many seconds for a call; this one when it is `None`."""
        return self if timeout is None else ServiceClient(self._channel, timeout)

    def close(self) -> None:
        """End this client's connection; the service goes on, and the next call connects again."""
        self._channel.disconnect()
