"""Env makers: what `SerialEnv` and `ParallelEnv` accept, as one function per env."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rl.core import RLError
from rl.envs.base import EnvBase

__all__ = ["makers_of"]


def makers_of(
    num_workers: int,
    create_env_fn: Callable[..., EnvBase] | Sequence[Callable[..., EnvBase]],
    create_env_kwargs: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
) -> list[Callable[[], EnvBase]]:
    """Return one function per env.

    Raises:
        RLError: when the counts differ, or an env is given instead of a function.
    """
    if num_workers < 1:
        raise RLError(f"`num_workers` is {num_workers}, expected 1 or more.")
    functions = _per_env("create_env_fn", create_env_fn, num_workers)
    kwargs = _per_env("create_env_kwargs", create_env_kwargs or {}, num_workers)
    for function in functions:
        if isinstance(function, EnvBase) or not callable(function):
            raise RLError(
                f"`create_env_fn` is a {type(function).__name__}, expected a function that "
                "builds an env: each env is built where it runs. Pass a lambda or the class."
            )
    return [functools.partial(f, **k) if k else f for f, k in zip(functions, kwargs, strict=True)]


def _per_env(name: str, given: Any, num_workers: int) -> list:  # noqa: ANN401
    if not isinstance(given, Sequence):
        return [given] * num_workers
    if len(given) != num_workers:
        raise RLError(
            f"`{name}` has {len(given)} entries, expected {num_workers} (`num_workers`): pass one "
            "per env, or a single one for all."
        )
    return list(given)
