"""Config dataclasses as JSON and back, so that a run folder remembers its flags."""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from rl.core.errors import CheckpointError, nearest

__all__ = ["config_from_json", "config_to_json"]

T = TypeVar("T")


def config_to_json(config: object) -> dict[str, Any]:
    """Return a config dataclass as JSON values.

    Raises:
        TypeError: a field holds what JSON cannot.

    Example:
        >>> @dataclasses.dataclass
        ... class Config:
        ...     hidden: tuple[int, ...] = (64, 64)
        ...     out: Path | None = None
        >>> config_to_json(Config(out=Path("runs/0")))
        {'hidden': [64, 64], 'out': 'runs/0'}
        >>> config_from_json(Config, {"hidden": [8]})
        Config(hidden=(8,), out=None)
    """
    return {
        item.name: _to_json(getattr(config, item.name), item.name)
        for item in dataclasses.fields(config)  # type: ignore[arg-type]
    }


def _to_json(value: object, name: str) -> Any:  # noqa: ANN401
    if value is None or type(value) in (bool, int, float, str):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return config_to_json(value)
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, list | tuple):
        return [_to_json(item, name) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _to_json(item, name) for key, item in value.items()}
    raise TypeError(
        f"Config field `{name}` holds a {type(value).__qualname__}, which config.json cannot hold. "
        "Use numbers, strings, paths, enums, tuples, dicts and dataclasses."
    )


def config_from_json(cls: type[T], content: Mapping[str, Any]) -> T:
    """Return the config that `config_to_json` wrote; absent fields take their defaults.

    Raises:
        CheckpointError: the content has a field that `cls` lacks.
    """
    hints = typing.get_type_hints(cls)
    for name in content:
        if name not in hints:
            raise CheckpointError(
                f"config.json has field `{name}`, which {cls.__module__}.{cls.__qualname__} lacks. "
                f"{nearest(name, hints)}"
            )
    return cls(**{name: _from_json(hints[name], value) for name, value in content.items()})


def _from_json(hint: Any, value: Any) -> Any:  # noqa: ANN401
    origin = typing.get_origin(hint)
    if value is None:
        return None
    if origin in (typing.Union, types.UnionType):
        members = [item for item in typing.get_args(hint) if item is not types.NoneType]
        # only a union with None is unambiguous; others hold plain values
        return _from_json(members[0], value) if len(members) == 1 else value
    if origin is typing.Annotated:
        return _from_json(typing.get_args(hint)[0], value)
    if origin is tuple or hint is tuple:
        return tuple(value)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return config_from_json(hint, value)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return hint[value]
    return Path(value) if hint is Path else value
