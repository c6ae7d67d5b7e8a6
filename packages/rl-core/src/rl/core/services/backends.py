"""Service backends by name: those of this wheel, and those that others bring."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rl.core.errors import MissingDependencyError, NotRegisteredError, nearest
from rl.core.registry import Registry

__all__ = ["SERVICE_BACKENDS", "load_service_backend", "require_backend"]

#: classes such as `ThreadService`, made with `(make, calls, name=..., **options)`
SERVICE_BACKENDS = Registry("rl.service_backends")

# what to install for the names that users know
_WHEELS = {"ray": "rl-distributed[ray]"}


def load_service_backend(name: str) -> Callable[..., Any]:
    """Return the class that runs services in the backend called `name`.

    Raises:
        NotRegisteredError: the name is unknown, or `"direct"`, which is no service.
        MissingDependencyError: it comes with a wheel that is not installed.

    Example:
        >>> load_service_backend("thread").__name__
        'ThreadService'
    """
    require_backend(name)
    if name == "direct":
        raise NotRegisteredError(
            "`direct` means no service: make the object itself, or name one of "
            f"{_shown(SERVICE_BACKENDS.names())}."
        )
    return SERVICE_BACKENDS.load(name)  # type: ignore[return-value]


def require_backend(name: str) -> None:
    """Raise unless `name` is a service backend, or `"direct"`.

    Raises:
        NotRegisteredError: the name is unknown; the message suggests the nearest.
        MissingDependencyError: it comes with a wheel that is not installed.

    Example:
        >>> require_backend("proces")
        Traceback (most recent call last):
        rl.core.errors.NotRegisteredError: `proces` is no service backend. Did you mean `process`?
    """
    known = ["direct", *SERVICE_BACKENDS.names()]
    if name in known:
        return
    if name in _WHEELS:
        raise MissingDependencyError(
            f"The service backend `{name}` comes with another wheel: "
            f'`pip install "{_WHEELS[name]}"`. Here are {_shown(known)}.'
        )
    raise NotRegisteredError(f"`{name}` is no service backend. {nearest(name, known)}")


def _shown(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
