"""Which gym module the adapters use: gymnasium unless the user says otherwise."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from types import ModuleType, TracebackType
from typing import Any

from rl.core.errors import MissingDependencyError
from rl.core.optional import optional

__all__ = ["gym_backend", "set_gym_backend"]

gymnasium = optional("gymnasium", extra="rl-envs[gym]")

_selected: list[Any] = [gymnasium]


def gym_backend(submodule: str | None = None) -> Any:  # noqa: ANN401
    """Return the gym module in use, or one of its submodules.

    Args:
        submodule: a path below the module, such as `"wrappers"`.

    Raises:
        MissingDependencyError: when the module is not installed.

    Example:
        >>> gym_backend().__name__
        'gymnasium'
        >>> gym_backend("spaces").__name__
        'gymnasium.spaces'
    """
    module = _selected[-1]
    return module if submodule is None else _import(f"{module.__name__}.{submodule}")


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingDependencyError(
            f'`{name}` cannot be imported ({error}): `pip install "rl-envs[gym]"`.'
        ) from error


class set_gym_backend:  # noqa: N801 (used as a function, a context and a decorator)
    """Select the gym module: as a context, as a decorator, or for good with `.set()`.

    Args:
        backend: a module, its name, or a function that returns it.

    Raises:
        MissingDependencyError: when the module cannot be imported.

    Example:
        >>> with set_gym_backend("gymnasium"):
        ...     gym_backend().__name__
        'gymnasium'
    """

    def __init__(self, backend: str | ModuleType | Callable[[], ModuleType]) -> None:
        if isinstance(backend, str):
            backend = _import(backend)
        elif not isinstance(backend, ModuleType):
            backend = backend()
        self.backend = backend

    def set(self) -> None:
        """Select the module until another is selected."""
        _selected[-1] = self.backend

    def __enter__(self) -> ModuleType:
        _selected.append(self.backend)
        return self.backend

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _selected.pop()

    def __call__(self, function: Callable) -> Callable:
        """Run `function` with this backend selected."""

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            with set_gym_backend(self.backend):
                return function(*args, **kwargs)

        return wrapped
