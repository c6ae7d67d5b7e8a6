"""Parameters of a loss's networks: extraction, ensembles, targets."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence

import torch
from tensordict import TensorDict, TensorDictBase
from tensordict.nn import TensorDictParams
from torch import Tensor, nn

__all__ = ["ensemble_parameters", "network_parameters", "reset_parameters", "target_parameters"]


def network_parameters(network: nn.Module) -> TensorDictParams:
    """Return a network's own parameters: updating one updates the other."""
    return TensorDict.from_module(network, as_module=True)


def ensemble_parameters(
    network: nn.Module | Sequence[nn.Module], size: int, shared: Iterable[str] = ()
) -> TensorDictParams:
    """Return the parameters of `size` networks, stacked along a new first dimension.

    Args:
        network: one network, of which `size` copies are drawn anew, or the networks themselves.
        size: number of networks.
        shared: names of parameters that belong to another network; they are left out.
    """
    left_out = [tuple(name.split(".")) for name in shared]
    if isinstance(network, nn.Module):
        networks = [copy.deepcopy(network) for _ in range(size)]
        for clone in networks:
            reset_parameters(clone)
    else:
        networks = list(network)
    members = [TensorDict.from_module(net).exclude(*left_out) for net in networks]
    stacked = torch.stack([member.data for member in members])
    template = members[0]
    return TensorDictParams(stacked.apply(_leaf, template))


def target_parameters(params: TensorDictBase) -> TensorDictParams:
    """Return a copy of parameters as buffers: saved and moved with the loss, not optimised."""
    return TensorDictParams(params.data.clone().apply(nn.Buffer))


def reset_parameters(network: nn.Module) -> None:
    """Draw a network's parameters anew."""
    for module in network.modules():
        reset = getattr(module, "reset_parameters", None)
        if reset is not None:
            reset()


def _leaf(stacked: Tensor, source: Tensor) -> Tensor:
    is_parameter = isinstance(source, nn.Parameter)
    return nn.Parameter(stacked, source.requires_grad) if is_parameter else nn.Buffer(stacked)
