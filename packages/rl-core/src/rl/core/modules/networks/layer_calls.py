"""Layers called without the protocol of `nn.Module.__call__`, where nothing asks for it.

Around each `forward`, `nn.Module.__call__` looks for hooks, a compiled call and a tracer. In the
small networks of control that costs as much as their arithmetic. Results are the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.module import _has_any_global_hook

__all__ = ["call", "has_global_hooks", "has_hooks", "is_hooked", "run_layers"]


def has_global_hooks() -> bool:
    """Tell whether a hook is registered on every module there is."""
    return _has_any_global_hook()


def has_hooks(module: nn.Module) -> bool:
    """Tell whether a hook on `module` itself, or a replaced `forward`, is part of a call."""
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        or "forward" in module.__dict__
    )


def is_hooked(module: nn.Module) -> bool:
    """Tell whether something registered on `module` itself makes a call more than its `forward`."""
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        or module._compiled_call_impl is not None
        or "forward" in module.__dict__  # replaced on the instance
    )


def call(module: Callable, *inputs: Any) -> Any:  # noqa: ANN401
    """Return `module(*inputs)`, by the short road where there is one."""
    if type(module) is nn.Sequential and not is_hooked(module):
        return run_layers(module, *inputs)
    return module(*inputs)


def run_layers(sequential: nn.Sequential, x: Any) -> Any:  # noqa: ANN401
    """Return `x` after each member of `sequential` in order.

    Args:
        sequential: the members are read at each call, and so are their hooks.
        x: input of the first member.

    Example:
        >>> import torch
        >>> net = nn.Sequential(nn.Linear(3, 4), nn.Tanh())
        >>> x = torch.zeros(2, 3)
        >>> bool((run_layers(net, x) == net(x)).all())
        True
    """
    if _has_any_global_hook():
        for layer in sequential._modules.values():
            x = layer(x)
        return x
    for layer in sequential._modules.values():
        # `is_hooked`, spelled out: a frame per layer would take half of what is won
        if (
            layer._forward_hooks
            or layer._forward_pre_hooks
            or layer._backward_hooks
            or layer._backward_pre_hooks
            or layer._compiled_call_impl is not None
        ):
            x = layer(x)
        elif type(layer) is nn.Linear and "forward" not in layer.__dict__:
            x = _linear(layer, x)
        elif type(layer) is nn.Sequential and "forward" not in layer.__dict__:
            x = run_layers(layer, x)
        else:
            x = layer.forward(x)
    return x


def _linear(layer: nn.Linear, x: Tensor) -> Tensor:
    """Return `layer.forward(x)`; attributes that `nn.Module` looks up are read where they lie."""
    parameters = layer._parameters
    if "weight" in parameters and "bias" in parameters:
        return functional.linear(x, parameters["weight"], parameters["bias"])
    return layer.forward(x)  # a functional call keeps its tensors elsewhere
