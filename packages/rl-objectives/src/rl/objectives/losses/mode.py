"""The modes under which losses run, and contexts that hold parameters out of a graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from tensordict.nn import set_interaction_type
from torch import Tensor, nn

from rl.core.modules import set_recurrent_mode

__all__ = ["hold_out_net", "hold_out_params", "loss_method"]


def loss_method(method: Callable) -> Callable:
    """Run a method of a loss in the loss's modes, as its `forward` runs."""

    @wraps(method)
    @set_recurrent_mode(True)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        with set_interaction_type(self.deterministic_sampling_mode):
            return method(self, *args, **kwargs)

    return wrapped


@contextmanager
def hold_out_net(network: nn.Module) -> Iterator[None]:
    """Keep a network's parameters out of the graph inside the context.

    Example:
        >>> net = nn.Linear(1, 1)
        >>> with hold_out_net(net):
        ...     net.weight.requires_grad
        False
        >>> net.weight.requires_grad
        True
    """
    with hold_out_params(network.parameters()):
        yield


@contextmanager
def hold_out_params(params: Iterable[Tensor]) -> Iterator[tuple[Tensor, ...]]:
    """Keep parameters out of the graph inside the context, which gives their detached forms."""
    held = [p for p in params if p.requires_grad]
    for parameter in held:
        parameter.requires_grad_(False)
    try:
        yield tuple(p.detach() for p in held)
    finally:
        for parameter in held:
            parameter.requires_grad_(True)
