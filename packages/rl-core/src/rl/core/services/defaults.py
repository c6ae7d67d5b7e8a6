"""The backend and transport that services take when they are told none."""

from __future__ import annotations

from contextlib import ContextDecorator
from contextvars import ContextVar, Token
from typing import Self

from rl.core.services.backends import require_backend

__all__ = [
    "default_service_backend",
    "default_transport",
    "service_backend",
    "transport_backend",
]

_backend: ContextVar[str | None] = ContextVar("rl service backend", default=None)
_transport: ContextVar[str | None] = ContextVar("rl transport", default=None)


class _Scoped(ContextDecorator):
    """Sets a variable in a `with` block, of this thread and process."""

    _variable: ContextVar[str | None]

    def __init__(self, backend: str) -> None:
        if not isinstance(backend, str):
            raise TypeError(f"`backend` is {backend!r}, expected a name.")
        self.backend = backend
        self._tokens: list[Token[str | None]] = []

    def _recreate_cm(self) -> Self:
        # a decorated function may run in several threads at once
        return type(self)(self.backend)

    def __enter__(self) -> Self:
        self._tokens.append(self._variable.set(self.backend))
        return self

    def __exit__(self, *exception: object) -> None:
        self._variable.reset(self._tokens.pop())


class service_backend(_Scoped):  # noqa: N801  (as TorchRL users write)
    """Sets where services built inside run, unless they are told: a context manager or decorator.

    It holds for the thread that enters it; other threads and processes start without.

    Args:
        backend: `"direct"` (no service: the object itself), `"thread"`, `"process"`, or what a
            wheel brings.

    Raises:
        NotRegisteredError: the backend is unknown; the message suggests the nearest.
        MissingDependencyError: it comes with a wheel that is not installed.

    Example:
        >>> with service_backend("thread"):
        ...     default_service_backend("direct")
        'thread'
    """

    _variable = _backend

    def __init__(self, backend: str) -> None:
        super().__init__(backend)
        require_backend(backend)


class transport_backend(_Scoped):  # noqa: N801  (as TorchRL users write)
    """Sets how services built inside get their calls, unless they are told.

    Each service checks that its backend has the transport.

    Args:
        backend: `"auto"`; `"direct"`, by reference within a process; `"socket"`, to any process of
            this machine; or what a wheel brings.

    Example:
        >>> with transport_backend("socket"):
        ...     default_transport()
        'socket'
    """

    _variable = _transport


def default_service_backend(otherwise: str) -> str:
    """Return what `service_backend` set here, else `otherwise`.

    Example:
        >>> default_service_backend("direct")
        'direct'
    """
    return _backend.get() or otherwise


def default_transport() -> str:
    """Return what `transport_backend` set here, else `"auto"`.

    Example:
        >>> default_transport()
        'auto'
    """
    return _transport.get() or "auto"
