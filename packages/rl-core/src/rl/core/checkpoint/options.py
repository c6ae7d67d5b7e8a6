"""Arguments that a checkpoint passes on to one component."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["CheckpointOptions"]


@dataclass(frozen=True)
class CheckpointOptions:
    """Arguments for the methods by which a component is saved and loaded.

    Args:
        save_args: positional arguments of `state_dict`, or of `dump` after the path.
        save_kwargs: keyword arguments of the same.
        load_args: positional arguments of `load_state_dict` after the state, or of `load` after
            the path.
        load_kwargs: keyword arguments of the same.

    Example:
        >>> fixed = CheckpointOptions(load_kwargs={"strict": False})
        >>> fixed.merged(CheckpointOptions(load_kwargs={"assign": True})).load_kwargs
        {'strict': False, 'assign': True}
    """

    save_args: tuple[Any, ...] | None = None
    save_kwargs: Mapping[str, Any] | None = None
    load_args: tuple[Any, ...] | None = None
    load_kwargs: Mapping[str, Any] | None = None

    def merged(self, override: CheckpointOptions | None) -> CheckpointOptions:
        """Return these with those of one operation: keywords are joined, positions replaced."""
        if override is None:
            return self
        return CheckpointOptions(
            self.save_args if override.save_args is None else override.save_args,
            {**(self.save_kwargs or {}), **(override.save_kwargs or {})},
            self.load_args if override.load_args is None else override.load_args,
            {**(self.load_kwargs or {}), **(override.load_kwargs or {})},
        )
