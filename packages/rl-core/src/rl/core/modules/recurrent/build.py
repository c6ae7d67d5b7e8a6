"""Recurrent networks: built from the settings of a module, or from each other."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from rl.core.errors import RLError

__all__ = ["network_of", "rebuild"]

SETTINGS = (
    "input_size",
    "hidden_size",
    "num_layers",
    "bias",
    "batch_first",
    "dropout",
    "bidirectional",
)


def network_of(
    kind: type[nn.RNNBase],
    given: nn.RNNBase | None,
    settings: dict[str, Any],
    device: torch.device | str | int | None,
    *,
    python_based: bool,
) -> nn.RNNBase:
    """Return `given`, or a network of class `kind`.

    Args:
        kind: `nn.LSTM` or `nn.GRU`, or ours.
        given: the network that a user passed.
        settings: the other arguments, which are ignored if a network was given, except that its
            sizes must not contradict them.
        device: of the weights.
        python_based: turn a network that was given into `kind`.

    Raises:
        RLError: neither a network nor its sizes are given, or both and they differ.
    """
    sizes = {name: settings[name] for name in ("input_size", "hidden_size")}
    if given is None:
        absent = [name for name, value in sizes.items() if value is None]
        if absent:
            raise RLError(
                f"`{absent[0]}` is missing: pass `input_size=` and `hidden_size=`, or a network."
            )
        return kind(**settings, device=device)
    if getattr(given, "mode", None) != kind.__name__:
        raise RLError(
            f"The network is a `{type(given).__name__}`, expected an `nn.{kind.__name__}`."
        )
    for name, value in sizes.items():
        if value is not None and value != getattr(given, name):
            raise RLError(
                f"`{name}` is {value} and the network that was passed has {getattr(given, name)}: "
                "leave the sizes out when you pass a network."
            )
    given = given if device is None else given.to(device)
    return rebuild(given, kind) if python_based else given


def rebuild(net: nn.RNNBase, kind: type[nn.RNNBase]) -> nn.RNNBase:
    """Return a network of class `kind` with the settings and the very parameters of `net`."""
    if type(net) is kind:
        return net
    settings = {name: getattr(net, name) for name in SETTINGS}
    if net.proj_size:
        settings["proj_size"] = net.proj_size
    new = kind(**settings, device="meta")
    for name, parameter in net.named_parameters():
        setattr(new, name, parameter)
    return new.train(net.training)
