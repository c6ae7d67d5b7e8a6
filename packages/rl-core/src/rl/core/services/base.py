"""What a service is: an owner that runs an object, and clients that ask it for calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol, Self, runtime_checkable

__all__ = ["Service", "ServiceBackend", "ServiceCalls"]

#: where a service may run; more come from wheels, under the entry points `rl.service_backends`
ServiceBackend = Literal["direct", "thread", "process", "ray"]


@runtime_checkable
class Service(Protocol):
    """The owner of an object that others ask for calls: it starts it, ends it, makes clients."""

    def start(self) -> Self:
        """Start the service, unless it runs; return it."""
        ...

    def shutdown(self, timeout: float | None = None) -> None:
        """End the service; nothing when that was done."""
        ...

    @property
    def is_alive(self) -> bool:
        """Whether it takes calls."""
        ...

    def client(self) -> Any:  # noqa: ANN401
        """Return what workers ask with; it cannot end the service."""
        ...


@dataclass(frozen=True)
class ServiceCalls:
    """Which methods of its object a service makes, and for whom.

    Attributes:
        client: the methods that everybody with a client may call.
        owner: those that only the owner may call besides.
        end: the method that is called when the service ends, `None` for none.

    Example:
        >>> calls = ServiceCalls(client={"add", "sample"}, owner={"empty"}, end="shutdown")
        >>> sorted(calls.of_owner)
        ['add', 'empty', 'sample']
    """

    client: frozenset[str]
    owner: frozenset[str] = frozenset()
    end: str | None = None

    def __post_init__(self) -> None:
        for field in ("client", "owner"):
            names = getattr(self, field)
            if isinstance(names, str) or not all(isinstance(name, str) for name in names):
                raise TypeError(f"`{field}` is {names!r}, expected a set of names of methods.")
            object.__setattr__(self, field, frozenset(names))

    @property
    def of_owner(self) -> frozenset[str]:
        """All that the owner may call."""
        return self.client | self.owner
