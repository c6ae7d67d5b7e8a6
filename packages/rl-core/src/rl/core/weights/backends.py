"""Weight-sync schemes by the name of their backend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeVar

from rl.core.errors import NotRegisteredError, nearest
from rl.core.registry import Registry

__all__ = [
    "WEIGHT_SYNC",
    "WeightSyncBackend",
    "load_backend",
    "register_weight_sync_backend",
]

WEIGHT_SYNC = Registry("rl.weight_sync")

WeightSyncBackend = Literal[
    "none",
    "direct",
    "shared",
    "thread",
    "process",
    "multiprocessing",
    "distributed",
    "rpc",
    "ray",
]

#: names that TorchRL users know beside those of the registry
_ALIASES = {"direct": "none", "thread": "shared", "multiprocessing": "process"}

Scheme = TypeVar("Scheme", bound=type)


def load_backend(backend: str) -> Callable[..., Any]:
    """Return the scheme's class that is registered for `backend`.

    Raises:
        NotRegisteredError: it is unknown; the message suggests the nearest.

    Example:
        >>> load_backend("multiprocessing").__name__
        'MultiProcessWeightSyncScheme'
    """
    name = _ALIASES.get(backend, backend)
    known = [*WEIGHT_SYNC.names(), *_ALIASES]
    if name not in known:
        raise NotRegisteredError(
            f"No installed wheel has the weight-sync backend `{backend}`. "
            f"{nearest(backend, known)} `distributed`, `rpc` and `ray` come with rl-distributed."
        )
    return WEIGHT_SYNC.load(name)  # type: ignore[return-value]


def register_weight_sync_backend(*backends: str) -> Callable[[Scheme], Scheme]:
    """Return a class decorator that makes a scheme known to `WeightSyncScheme.from_backend`.

    It holds for this process. A wheel declares its schemes as entry points of the group
    `rl.weight_sync` instead.

    Args:
        *backends: the names.

    Example:
        >>> from rl.core.weights import NoWeightSyncScheme, WeightSyncScheme
        >>> @register_weight_sync_backend("doctest")
        ... class Mine(NoWeightSyncScheme):
        ...     pass
        >>> type(WeightSyncScheme.from_backend("doctest")).__name__
        'Mine'
        >>> WEIGHT_SYNC.unregister("doctest")
    """

    def register(scheme: Scheme) -> Scheme:
        for name in backends:
            WEIGHT_SYNC.register(name, scheme)
        return scheme

    return register
