"""The adapter of values that JSON holds."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from rl.core.checkpoint.adapter import CheckpointAdapter
from rl.core.checkpoint.options import CheckpointOptions
from rl.core.checkpoint.payload import read_json, write_json
from rl.core.errors import CheckpointError

__all__ = ["JSONCheckpointAdapter", "is_json_value", "replace_in_place"]

_PLAIN = (type(None), bool, int, float, str, list, tuple)


class JSONCheckpointAdapter(CheckpointAdapter):
    """Saves configuration, counters and other values made of what JSON holds.

    Dicts and lists are restored in place. Other values cannot be: they are in
    `CheckpointLoadResult.values`, as all are.

    Raises:
        CheckpointError: when saving, names the field that JSON does not hold.

    Example:
        >>> import tempfile
        >>> adapter, folder, progress = JSONCheckpointAdapter(), Path(tempfile.mkdtemp()), {"n": 3}
        >>> adapter.save(progress, folder, args=(), kwargs={})
        >>> progress["n"] = 0
        >>> adapter.load(
        ...     progress, folder, map_location=None, tensor_load_kwargs={}, args=(), kwargs={}
        ... )
        {'n': 3}
        >>> progress
        {'n': 3}
    """

    adapter_id = "rl.json"

    def save(
        self,
        component: Any,  # noqa: ANN401
        path: Path,
        *,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> None:
        """Write the value; there are no arguments that it takes."""
        _refuse_arguments(args, kwargs)
        write_json(path, component)

    def load(
        self,
        component: Any,  # noqa: ANN401
        path: Path,
        *,
        map_location: Any,  # noqa: ANN401
        tensor_load_kwargs: Mapping[str, Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> Any:  # noqa: ANN401
        """Return the value, having put it into a dict or list in place."""
        del map_location, tensor_load_kwargs
        _refuse_arguments(args, kwargs)
        value = read_json(path)
        replace_in_place(component, value)
        return value

    def snapshot(
        self,
        component: Any,  # noqa: ANN401
        path: Path,
        options: CheckpointOptions,
    ) -> Callable[[], object]:
        """Copy the value in memory."""
        del path, options
        return partial(replace_in_place, component, copy.deepcopy(component))


def is_json_value(component: object) -> bool:
    """Tell whether a component is of a type that JSON holds; its content is looked at later."""
    return isinstance(component, dict) or type(component) in _PLAIN


def replace_in_place(component: object, value: object) -> None:
    """Give a dict or a list the content of another; other components stay.

    Raises:
        CheckpointError: the component is a dict or a list and the value is not.
    """
    for kind in (dict, list):
        if isinstance(component, kind) and not isinstance(value, kind):
            raise CheckpointError(
                f"The saved value is a {type(value).__qualname__}, the component a "
                f"{type(component).__qualname__}."
            )
    if isinstance(component, dict):
        component.clear()
        component.update(value)  # type: ignore[call-overload]
    elif isinstance(component, list):
        component[:] = value  # type: ignore[index]


def _refuse_arguments(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    if args or kwargs:
        raise CheckpointError(
            f"A JSON value takes no arguments, and its options are {args} {dict(kwargs)}: leave "
            "its `CheckpointOptions` out."
        )
