"""Entry-point registries: how recipes, loggers, collectors and weight-sync schemes are found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata

from rl.core.errors import MissingDependencyError, NotRegisteredError, RLError, nearest

__all__ = ["Entry", "Registry"]


@dataclass(frozen=True)
class Entry:
    """One registered name: the wheel it comes from and what loads it.

    Attributes:
        name: the name that users write.
        wheel: the distribution that declares it, `"(registered)"` when none does.
        target: `"module"` or `"module:attribute"`, or the object itself.

    Example:
        >>> Entry("ppo", "rl-objectives", "rl.objectives.recipes.ppo").wheel
        'rl-objectives'
    """

    name: str
    wheel: str
    target: object


class Registry:
    """The objects that installed wheels declare under one entry-point group.

    A wheel adds a name in its `pyproject.toml`; nothing is imported before `load`.

    Args:
        group: the entry-point group, such as `"rl.recipes"`.

    Example:
        >>> recipes = Registry("rl.recipes.doctest")
        >>> with recipes.registered("toy", dict):
        ...     recipes.names(), recipes.load("toy")
        (['toy'], <class 'dict'>)
    """

    def __init__(self, group: str) -> None:
        self.group = group
        self._local: dict[str, object] = {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.group!r})"

    def entries(self) -> dict[str, Entry]:
        """Return every entry by name, sorted; registered objects hide declared ones.

        Raises:
            NotRegisteredError: when two wheels declare one name.
        """
        found = {point.name: Entry(point.name, wheel, point) for point, wheel in self._points()}
        for name, target in self._local.items():
            found[name] = Entry(name, "(registered)", target)
        return dict(sorted(found.items()))

    def names(self) -> list[str]:
        """Return the registered names, sorted."""
        return list(self.entries())

    def load(self, name: str) -> object:
        """Import and return the object called `name`.

        Raises:
            NotRegisteredError: the name is unknown; the message suggests the nearest.
            MissingDependencyError: the wheel lacks a library; the message says what to install.
        """
        entries = self.entries()
        if name not in entries:
            raise NotRegisteredError(
                f"`{name}` is not registered in `{self.group}`. {nearest(name, entries)}"
            )
        entry = entries[name]
        if name in self._local:
            return entry.target
        try:
            # not always the standard library's class: `importlib_metadata` puts in its own
            return entry.target.load()
        except RLError:
            raise
        except ImportError as error:
            raise MissingDependencyError(
                f"`{name}` of {entry.wheel} cannot be imported ({error}): "
                f'`pip install "{self._requirement(entry)}"`.'
            ) from error

    def register(self, name: str, target: object) -> None:
        """Add `target` for this process; it hides a declared entry of the same name."""
        self._local[name] = target

    def unregister(self, name: str) -> None:
        """Take back what `register` added.

        Raises:
            NotRegisteredError: when `register` never added the name.
        """
        if name not in self._local:
            raise NotRegisteredError(
                f"`{name}` was not registered in this process. {nearest(name, self._local)}"
            )
        del self._local[name]

    @contextmanager
    def registered(self, name: str, target: object) -> Iterator[None]:
        """Register `target` for the length of a `with` block."""
        self.register(name, target)
        try:
            yield
        finally:
            self.unregister(name)

    def _points(self) -> Iterator[tuple[metadata.EntryPoint, str]]:
        seen: dict[str, tuple[str, str]] = {}
        for point in metadata.entry_points(group=self.group):
            wheel = point.dist.name if point.dist is not None else "(unknown)"
            # one distribution can lie on the path twice (an editable install beside a wheel)
            if seen.get(point.name) == (wheel, point.value):
                continue
            if point.name in seen:
                raise NotRegisteredError(
                    f"`{point.name}` is declared twice in `{self.group}`, by "
                    f"{seen[point.name][0]} and by {wheel}: uninstall one of them."
                )
            seen[point.name] = (wheel, point.value)
            yield point, wheel

    def _requirement(self, entry: Entry) -> str:
        """Return what pip installs to complete `entry`: the wheel with the extra that serves it."""
        dist = getattr(entry.target, "dist", None)
        extras = dist.metadata.get_all("Provides-Extra") if dist is not None else None
        for extra in (entry.name, self.group.rpartition(".")[2]):
            if extra in (extras or ()):
                return f"{entry.wheel}[{extra}]"
        return entry.wheel
