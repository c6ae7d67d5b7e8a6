"""The components of a checkpoint: their names, adapters and options."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Protocol, runtime_checkable

from rl.core.checkpoint.adapter import CheckpointAdapter
from rl.core.checkpoint.dump_load_adapter import DumpLoadCheckpointAdapter, dumps_and_loads
from rl.core.checkpoint.json_adapter import (
    JSONCheckpointAdapter,
    is_json_value,
    replace_in_place,
)
from rl.core.checkpoint.options import CheckpointOptions
from rl.core.checkpoint.rng import GlobalRNGState
from rl.core.checkpoint.snapshot import snapshot_of_state
from rl.core.checkpoint.state_dict_adapter import StateDictCheckpointAdapter
from rl.core.errors import CheckpointError, nearest

__all__ = ["ComponentTable", "Stateful", "as_names", "give_state", "snapshot_of", "state_of"]


@runtime_checkable
class Stateful(Protocol):
    """What a checkpoint saves: modules, optimizers, collectors, buffers, transforms, samplers.

    Example:
        >>> import torch
        >>> isinstance(torch.nn.Linear(1, 1), Stateful), isinstance({}, Stateful)
        (True, False)
    """

    def state_dict(self) -> Mapping[str, Any]:
        """Return the state, of types that `save_state` holds."""
        ...

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> object:
        """Take on a state that `state_dict` returned."""
        ...


class ComponentTable:
    """Components by name, with what saves and restores each.

    Example:
        >>> table = ComponentTable()
        >>> table.add("progress", {"frames": 0})
        >>> table.adapter_of("progress").adapter_id
        'rl.json'
    """

    def __init__(self) -> None:
        self.components: dict[str, Any] = {}
        self.by_type: dict[type, CheckpointAdapter] = {}
        self._given: dict[str, CheckpointAdapter] = {}
        self._options: dict[str, CheckpointOptions] = {}

    def add(
        self,
        name: str,
        component: Any,  # noqa: ANN401
        adapter: CheckpointAdapter | None = None,
        options: CheckpointOptions | None = None,
    ) -> None:
        """Add a component.

        Raises:
            CheckpointError: the name is taken, empty or a path; or there is no adapter.
        """
        if not name or "/" in name or "\\" in name:
            raise CheckpointError(f"`{name}` is no name of a component: use letters and `_`.")
        if name in self.components:
            raise CheckpointError(f"Component `{name}` is registered already: choose another name.")
        if adapter is not None:
            self._given[name] = adapter
        self._find(name, component)
        self.components[name] = component
        self._options[name] = options or CheckpointOptions()

    def select(self, names: Iterable[str] | None) -> list[str]:
        """Return names, all by default, those of random generators last: others may draw.

        Raises:
            CheckpointError: a name is not registered.
        """
        names = list(self.components) if names is None else as_names(names)
        for name in names:
            if name not in self.components:
                raise CheckpointError(
                    f"`{name}` is not a component here. {nearest(name, self.components)}"
                )
        return sorted(names, key=lambda name: isinstance(self.components[name], GlobalRNGState))

    def options(
        self, overrides: Mapping[str, CheckpointOptions] | None
    ) -> dict[str, CheckpointOptions]:
        """Return the options of every component, with those of one operation.

        Raises:
            CheckpointError: a name is not registered.
        """
        overrides = overrides or {}
        self.select(overrides)
        return {name: own.merged(overrides.get(name)) for name, own in self._options.items()}

    def adapter_of(self, name: str) -> CheckpointAdapter:
        """Return what saves and restores a component."""
        return self._find(name, self.components[name])

    def _find(self, name: str, component: object) -> CheckpointAdapter:
        if name in self._given:
            return self._given[name]
        for kind in type(component).__mro__:
            if kind in self.by_type:
                return self.by_type[kind]
        if dumps_and_loads(component):
            return DumpLoadCheckpointAdapter()
        if isinstance(component, Stateful):
            return StateDictCheckpointAdapter()
        if is_json_value(component):
            return JSONCheckpointAdapter()
        raise CheckpointError(
            f"Component `{name}` is a {type(component).__qualname__}, which has no `state_dict` "
            "and `load_state_dict`, no `dump` and `load`, and is no JSON value. Give it a pair of "
            "methods, or `register(name, component, adapter=...)`."
        )


def state_of(name: str, component: Any) -> Any:  # noqa: ANN401
    """Return what a component holds, in memory.

    Raises:
        CheckpointError: it has no `state_dict`.
    """
    if isinstance(component, Stateful):
        return component.state_dict()
    if is_json_value(component):
        return component
    raise CheckpointError(
        f"Component `{name}` is a {type(component).__qualname__} without `state_dict` and "
        "`load_state_dict`: give it both, or use `save` and `load`."
    )


def snapshot_of(name: str, component: Any) -> Callable[[], object]:  # noqa: ANN401
    """Note what a component holds, and return the function that brings it back.

    Raises:
        CheckpointError: it has no `state_dict`.
    """
    if isinstance(component, Stateful):
        return snapshot_of_state(component)
    return partial(replace_in_place, component, copy.deepcopy(state_of(name, component)))


def give_state(component: Any, state: Any) -> None:  # noqa: ANN401
    """Give a component what `state_of` returned."""
    if isinstance(component, Stateful):
        component.load_state_dict(state)
    else:
        replace_in_place(component, state)


def as_names(names: Iterable[str]) -> list[str]:
    """Return names of components as a list without repetitions.

    Raises:
        CheckpointError: it is one string.
    """
    if isinstance(names, str):
        raise CheckpointError(f"Names of components are {names!r}, expected several: [{names!r}].")
    # sets have no order of their own
    return sorted(names) if isinstance(names, set | frozenset) else list(dict.fromkeys(names))
