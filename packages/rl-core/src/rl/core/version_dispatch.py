"""One function with a definition for each version of a library."""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import metadata
from types import ModuleType
from typing import Any, ClassVar

from rl.core.errors import MissingDependencyError

__all__ = ["implement_for"]


@dataclass(frozen=True)
class _Definition:
    module: str | Callable[[], ModuleType]
    from_version: str | None
    to_version: str | None
    function: Callable[..., Any]

    def fits(self) -> bool:
        found = _version_of(self.module)
        if found is None:
            return False
        version = _numbers(found)
        above = self.from_version is None or version >= _numbers(self.from_version)
        below = self.to_version is None or version < _numbers(self.to_version)
        return above and below

    def __str__(self) -> str:
        name = self.module if isinstance(self.module, str) else "a module"
        start, end = self.from_version or "any", self.to_version or "any"
        found = _version_of(self.module)
        is_there = "is not installed" if found is None else f"is {found}"
        return f"`{name}` from {start} to before {end}, which {is_there}"


@dataclass
class _Function:
    name: str
    definitions: list[_Definition] = field(default_factory=list)
    chosen: Callable[..., Any] | None = None

    def choose(self) -> Callable[..., Any]:
        """Return the last definition that fits.

        Raises:
            MissingDependencyError: none does.
        """
        for definition in reversed(self.definitions):
            if definition.fits():
                self.chosen = definition.function
                return definition.function
        known = "; ".join(map(str, self.definitions))
        raise MissingDependencyError(
            f"`{self.name}` has no definition for what is installed: it needs {known}. Install "
            "one of these versions."
        )


class implement_for:  # noqa: N801  (the name that TorchRL users write)
    """A decorator that gives a function one definition per range of a library's versions.

    Definitions of one qualified name belong together. The first call chooses the last one whose
    library is installed in its range, and all calls make that.

    Args:
        module_name: the library, or a function that returns its module.
        from_version: the first version that fits; any when `None`.
        to_version: the first version that does not fit any more; none when `None`.
        class_method: make a class method; write no `@classmethod`.
        compilable: choose when the function is defined, so that `torch.compile` sees no choice.

    Raises:
        MissingDependencyError: at the call, when no definition fits.

    Example:
        >>> @implement_for("torch", None, "1.0")
        ... def version():
        ...     return "old"
        >>> @implement_for("torch", "1.0")
        ... def version():
        ...     return "new"
        >>> version()
        'new'
    """

    _functions: ClassVar[dict[str, _Function]] = {}

    def __init__(
        self,
        module_name: str | Callable[[], ModuleType],
        from_version: str | None = None,
        to_version: str | None = None,
        *,
        class_method: bool = False,
        compilable: bool = False,
    ) -> None:
        self.module_name = module_name
        self.from_version, self.to_version = from_version, to_version
        self.class_method, self.compilable = class_method, compilable

    def __call__(self, fn: Callable[..., Any]) -> Any:  # noqa: ANN401  (or a classmethod)
        """Return the function that makes the definition that fits."""
        name = f"{fn.__module__}.{fn.__qualname__}"
        function = self._functions.setdefault(name, _Function(name))
        definition = _Definition(self.module_name, self.from_version, self.to_version, fn)
        function.definitions.append(definition)
        if not self.compilable:
            function.chosen = None
        elif definition.fits():
            function.chosen = fn

        @functools.wraps(fn)
        def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            return (function.chosen or function.choose())(*args, **kwargs)

        return classmethod(call) if self.class_method else call

    @classmethod
    def reset(cls) -> None:
        """Forget all choices, so that the next calls choose again."""
        for function in cls._functions.values():
            function.chosen = None


def _version_of(module: str | Callable[[], ModuleType]) -> str | None:
    try:
        loaded = importlib.import_module(module) if isinstance(module, str) else module()
    except ImportError:
        return None
    version = getattr(loaded, "__version__", None)
    if version is not None:
        return str(version)
    try:
        return metadata.version(loaded.__name__)
    except metadata.PackageNotFoundError:
        return "0"


def _numbers(version: str) -> tuple[int, ...]:
    """Return the release `2.4.1` of `2.4.1rc1+cu12` as numbers, without zeros at the end."""
    release = re.match(r"\s*v?(\d+(?:\.\d+)*)", version)
    numbers = [int(part) for part in release[1].split(".")] if release else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
