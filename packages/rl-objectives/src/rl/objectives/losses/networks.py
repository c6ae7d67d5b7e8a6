"""Parameters of a loss's networks: extraction, ensembles, targets."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from tensordict import TensorDict, TensorDictBase
from tensordict.nn import TensorDictParams
from torch import Tensor, nn

__all__ = ["ensemble_parameters", "network_parameters", "reset_parameters", "target_parameters"]


def network_parameters(network: nn.Module) -> TensorDictParams:
    """Return a network's own parameters: updating one updates the other."""
    return TensorDict.from_module(network, as_module=True)


def ensemble_parameters(
    network: nn.Module | Sequence[nn.Module], size: int, shared: set[int]
) -> TensorDictParams:
    """Return the parameters of `size` networks, stacked along a new first dimension.

    Args:
        network: one network, of which `size` copies are drawn anew, or the networks themselves.
        size: number of networks.
        shared: ids of parameters that another network of the loss owns; they are not drawn anew.
    """
    if isinstance(network, nn.Module):
        networks = [_redrawn(network, shared) for _ in range(size)]
    else:
        networks = list(network)
    stacked = torch.stack([TensorDict.from_module(net).data for net in networks])
    template = TensorDict.from_module(networks[0])
    return TensorDictParams(stacked.apply(_leaf, template))


def target_parameters(params: TensorDictBase) -> TensorDictParams:
    """Return a copy of parameters as buffers: saved and moved with the loss, not optimised."""
    return TensorDictParams(params.data.clone().apply(nn.Buffer))


def reset_parameters(network: nn.Module, keep: set[int] = frozenset()) -> None:
    """Draw a network's parameters anew, except those whose id is in `keep`."""
    for module in network.modules():
        reset = getattr(module, "reset_parameters", None)
        if reset is not None and not any(id(p) in keep for p in module.parameters(recurse=False)):
            reset()


def _redrawn(network: nn.Module, shared: set[int]) -> nn.Module:
    memo = {id(p): p for p in network.parameters() if id(p) in shared}
    clone = copy.deepcopy(network, memo)
    reset_parameters(clone, shared)
    return clone


def _leaf(stacked: Tensor, source: Tensor) -> Tensor:
    is_parameter = isinstance(source, nn.Parameter)
    return nn.Parameter(stacked, source.requires_grad) if is_parameter else nn.Buffer(stacked)
