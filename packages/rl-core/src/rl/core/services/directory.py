"""Services by name: whoever knows the name gets a client."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

from rl.core.errors import NotRegisteredError, RLError, nearest
from rl.core.services.backends import load_service_backend
from rl.core.services.base import Service, ServiceCalls
from rl.core.services.defaults import default_service_backend

__all__ = ["LocalServices", "ServiceBase", "get_services"]


class ServiceBase(ABC):
    """Services by name. A backend has its own kind: `get_services` returns it.

    Example:
        >>> from collections import Counter
        >>> services = get_services("thread", namespace="of ServiceBase")
        >>> client = services.register("letters", Counter, calls=ServiceCalls({"total"}))
        >>> "letters" in services, services.list(), services["letters"].call("total")
        (True, ['letters'], 0)
        >>> services.reset()
        >>> services.list()
        []
    """

    @abstractmethod
    def register(
        self,
        name: str,
        service_factory: Callable[..., Any] | Service,
        *args: Any,
        calls: ServiceCalls | None = None,
        **kwargs: Any,
    ) -> Any:  # noqa: ANN401
        """Start a service under a name, and return a client.

        Args:
            name: the name.
            service_factory: makes the object, or is a service that runs, whose owner keeps it.
            *args: arguments of the factory.
            calls: the methods that may be called; its attribute `service_calls` by default.
            **kwargs: keyword arguments of the factory.

        Raises:
            RLError: the name is taken, or no calls are declared.
        """

    @abstractmethod
    def get(self, name: str) -> Any:  # noqa: ANN401
        """Return a client of the service called `name`.

        Raises:
            NotRegisteredError: there is none; the message suggests the nearest.
        """

    @abstractmethod
    def list(self) -> list[str]:
        """Return the names, sorted."""

    @abstractmethod
    def reset(self) -> None:
        """Forget all names, and shut down the services that were started here."""

    def get_client(self, name: str) -> Any:  # noqa: ANN401
        """Do what `get` does."""
        return self.get(name)

    def __contains__(self, name: str) -> bool:
        return name in self.list()

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401
        return self.get(name)

    def __setitem__(self, name: str, service_factory: Callable[..., Any] | Service) -> None:
        self.register(name, service_factory)


class LocalServices(ServiceBase):
    """The services of this process by name; workers are sent clients.

    Args:
        backend: the class that runs them.
        **options: its options, such as `timeout`.

    Example:
        >>> from collections import Counter
        >>> from rl.core.services import ThreadService
        >>> services = LocalServices(ThreadService, timeout=5.0)
        >>> with ThreadService(Counter, ServiceCalls({"total"})) as service:
        ...     services["mine"] = service  # which `reset` leaves alone
        ...     services["mine"].call("total")
        ...     services.reset()
        ...     service.is_alive
        0
        True
    """

    def __init__(self, backend: Callable[..., Any], **options: Any) -> None:
        self._backend, self.options = backend, options
        self._lock = threading.Lock()
        self._services: dict[str, Service] = {}
        self._owned: set[str] = set()

    def __getstate__(self) -> NoReturn:
        raise RLError(
            "Services of this machine stay in the process that registered them: send workers "
            "`services.get_client(name)`."
        )

    def register(
        self,
        name: str,
        service_factory: Callable[..., Any] | Service,
        *args: Any,
        calls: ServiceCalls | None = None,
        **kwargs: Any,
    ) -> Any:  # noqa: ANN401
        """Start a service under a name, and return a client; see `ServiceBase.register`."""
        with self._lock:
            if name in self._services:
                raise RLError(f"A service `{name}` is registered: take another name, or `reset()`.")
            if isinstance(service_factory, Service) and not isinstance(service_factory, type):
                self._services[name] = service_factory
            else:
                self._services[name] = self._made(name, service_factory, args, calls, kwargs)
                self._owned.add(name)
            return self._services[name].client()

    def get(self, name: str) -> Any:  # noqa: ANN401
        """Return a client of the service called `name`; see `ServiceBase.get`."""
        with self._lock:
            if name not in self._services:
                raise NotRegisteredError(
                    f"No service `{name}` is registered. {nearest(name, self._services)}"
                )
            return self._services[name].client()

    def list(self) -> list[str]:
        """Return the names, sorted."""
        with self._lock:
            return sorted(self._services)

    def reset(self) -> None:
        """Forget all names, and shut down the services that were started here."""
        with self._lock:
            owned = [self._services[name] for name in self._owned]
            self._services.clear()
            self._owned.clear()
        for service in owned:
            if service.is_alive:
                service.shutdown()

    def _made(
        self,
        name: str,
        factory: Callable[..., Any],
        args: tuple[Any, ...],
        calls: ServiceCalls | None,
        kwargs: dict[str, Any],
    ) -> Service:
        calls = calls or getattr(factory, "service_calls", None)
        if calls is None:
            raise RLError(
                f"Service `{name}` declares no calls: pass `calls=ServiceCalls(client={{...}})` "
                "with the methods that clients may call, or give its class `service_calls`."
            )
        make = partial(factory, *args, **kwargs)
        return self._backend(make, calls, name=name, **self.options).start()


_directories: dict[tuple[str, str], ServiceBase] = {}
_lock = threading.Lock()


def get_services(
    backend: str | None = None, *, namespace: str = "rl", **init_kwargs: Any
) -> ServiceBase:
    """Return the services of a backend by name, the same object every time.

    Args:
        backend: `"thread"`, `"process"`, or what a wheel brings; by default what `service_backend`
            set, else `"thread"`.
        namespace: names in other namespaces are others.
        **init_kwargs: options of the backend, taken the first time.

    Raises:
        NotRegisteredError: the backend is unknown.
        MissingDependencyError: it comes with a wheel that is not installed.
        RLError: the services are there, with other options.

    Example:
        >>> get_services("thread") is get_services("thread")
        True
    """
    backend = backend or default_service_backend("thread")
    make = load_service_backend(backend)
    with _lock:
        found = _directories.get((backend, namespace))
        if found is None:
            # a backend of many machines has a directory that all of them see
            directory = getattr(make, "directory", None)
            if directory is None:
                found = LocalServices(make, **init_kwargs)
            else:
                found = directory(namespace=namespace, **init_kwargs)
            _directories[backend, namespace] = found
        elif init_kwargs and init_kwargs != getattr(found, "options", None):
            raise RLError(
                f"The services of `{backend}` in `{namespace}` are there, with other options: take "
                "another `namespace`."
            )
    return found
