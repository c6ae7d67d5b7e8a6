"""What an object holds before a load, to bring it back when the load fails."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch.nn.parameter import is_lazy

from rl.core.checkpoint.options import CheckpointOptions

__all__ = ["snapshot_of_state"]


def snapshot_of_state(
    component: Any,  # noqa: ANN401
    options: CheckpointOptions | None = None,
) -> Callable[[], None]:
    """Copy the state of an object, and return the function that gives it back.

    Layers that have not seen data yet become again what they were.

    Args:
        component: has `state_dict` and `load_state_dict`.
        options: arguments for the two.

    Example:
        >>> layer = torch.nn.Linear(1, 1)
        >>> before = layer.weight.item()
        >>> bring_back = snapshot_of_state(layer)
        >>> _ = torch.nn.init.constant_(layer.weight, 9.0)
        >>> bring_back()
        >>> layer.weight.item() == before
        True
    """
    options = options or CheckpointOptions()
    state = component.state_dict(*(options.save_args or ()), **(options.save_kwargs or {}))
    lazy = {id(tensor): (tensor, type(tensor)) for tensor in _lazy_tensors(state)}
    # `state_dict` refers to live tensors, so what a failure restores must be a copy; of tensors
    # without memory there is none
    held = copy.deepcopy(state, {key: tensor for key, (tensor, _) in lazy.items()})

    def bring_back() -> None:
        for tensor, kind in lazy.values():
            tensor.data = torch.empty(0, dtype=tensor.dtype, device=tensor.device)
            tensor.__class__ = kind
        component.load_state_dict(held, *(options.load_args or ()), **(options.load_kwargs or {}))

    return bring_back


def _lazy_tensors(state: Any) -> Iterator[torch.Tensor]:  # noqa: ANN401
    if isinstance(state, torch.Tensor):
        if is_lazy(state):
            yield state
    elif isinstance(state, Mapping):
        for value in state.values():
            yield from _lazy_tensors(value)
    elif isinstance(state, list | tuple):
        for value in state:
            yield from _lazy_tensors(value)
