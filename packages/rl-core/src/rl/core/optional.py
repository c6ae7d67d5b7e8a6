"""Optional libraries: imported at module top, loaded at first use, missed with a pip command."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType
from typing import Any

from rl.core.errors import MissingDependencyError

__all__ = ["is_module_available", "optional"]


def is_module_available(*modules: str) -> bool:
    """Tell whether every named module can be found, without importing it.

    Example:
        >>> is_module_available("json", "torch")
        True
    """
    return all(_found(module) for module in modules)


def _found(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


class _Lazy(ModuleType):
    """A module that is imported when one of its attributes is first read."""

    def __init__(self, name: str, extra: str) -> None:
        super().__init__(name)
        self._extra = extra
        self._module: ModuleType | None = None

    def __getattr__(self, attribute: str) -> Any:  # noqa: ANN401
        if attribute.startswith("__") and attribute.endswith("__"):
            # introspection (inspect, doctest, pickle) must not import the library
            raise AttributeError(attribute)
        if self._module is None:
            try:
                self._module = importlib.import_module(self.__name__)
            except ImportError as error:
                raise MissingDependencyError(
                    f"`{self.__name__}` is needed here and cannot be imported ({error}): "
                    f'`pip install "{self._extra}"`.'
                ) from error
        return getattr(self._module, attribute)


def optional(name: str, *, extra: str) -> Any:  # noqa: ANN401
    """Return the module `name`, imported at first use.

    Args:
        name: the module, such as `"gymnasium"`.
        extra: what the user installs to get it, such as `"rl-envs[gym]"`.

    Raises:
        MissingDependencyError: at first use, when the library is not installed.

    Example:
        >>> json = optional("json", extra="rl-core")
        >>> json.dumps([1])
        '[1]'
    """
    return _Lazy(name, extra)
