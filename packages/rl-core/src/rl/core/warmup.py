"""Compilation after a few calls as written."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch

__all__ = ["compile_with_warmup"]


def compile_with_warmup(
    *args: Any,
    warmup: int = 1,
    **kwargs: Any,
) -> Callable[..., Any]:
    """Do what `torch.compile` does, after `warmup` calls of the function as it is written.

    What a function makes at its first calls (lazy parameters, buffers of an optimiser, caches of
    specs) is then there when it is traced.

    Args:
        *args: of `torch.compile`: the function or module; without it, a decorator is returned.
        warmup: the number of calls that are not compiled.
        **kwargs: of `torch.compile`.

    Raises:
        ValueError: `warmup` is negative.

    Example:
        >>> double = compile_with_warmup(lambda x: 2 * x, warmup=2, backend="eager")
        >>> [double(torch.tensor(1)).item() for _ in range(3)]
        [2, 2, 2]
    """
    if warmup < 0:
        raise ValueError(f"`warmup` is {warmup}, expected a number of calls, 0 or more.")
    model = args[0] if args else kwargs.pop("model", None)
    if model is None:
        return functools.partial(_decorate, warmup=warmup, options=kwargs)
    return _decorate(model, *args[1:], warmup=warmup, options=kwargs)


def _decorate(
    model: Callable[..., Any],
    *args: Any,
    warmup: int,
    options: dict[str, Any],
) -> Callable[..., Any]:
    calls = 0
    compiled: Callable[..., Any] | None = None

    @functools.wraps(model)
    def call(*inputs: Any, **named: Any) -> Any:  # noqa: ANN401
        nonlocal calls, compiled
        if calls < warmup:
            calls += 1
            return model(*inputs, **named)
        if compiled is None:
            compiled = torch.compile(model, *args, **options)
        return compiled(*inputs, **named)

    return call
