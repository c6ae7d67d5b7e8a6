"""Networks of deep deterministic policy gradient (Lillicrap et al. 2016, section 7)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from rl.core.modules.networks.mlp import MLP

__all__ = ["DdpgMlpActor", "DdpgMlpQNet", "shrink_last_layer"]

_LAST_LAYER_BOUND = 3e-3


class DdpgMlpActor(nn.Module):
    """A deterministic policy over state vectors, without squashing.

    Args:
        action_dim: number of actions.
        mlp_net_kwargs: arguments of the `MLP`.
        device: device of the parameters.

    Example:
        >>> DdpgMlpActor(action_dim=2)(torch.zeros(5, 3)).shape
        torch.Size([5, 2])
    """

    def __init__(
        self,
        action_dim: int,
        mlp_net_kwargs: dict[str, Any] | None = None,
        device: torch.device | str | int | None = None,
    ) -> None:
        super().__init__()
        kwargs = {"num_cells": [400, 300], "activation_class": nn.ELU, **(mlp_net_kwargs or {})}
        self.mlp = MLP(out_features=action_dim, **{**kwargs, "device": device})
        shrink_last_layer(self.mlp)

    def forward(self, observation: Tensor) -> Tensor:
        """Return the action's parameter `[*B, A]`."""
        return self.mlp(observation)


class DdpgMlpQNet(nn.Module):
    """The value of state vectors and actions; actions enter after the first part.

    Args:
        mlp_net_kwargs_net1: arguments of the `MLP` over observations.
        mlp_net_kwargs_net2: arguments of the `MLP` over its features and the action.
        device: device of the parameters.

    Example:
        >>> DdpgMlpQNet()(torch.zeros(5, 3), torch.zeros(5, 2)).shape
        torch.Size([5, 1])
    """

    def __init__(
        self,
        mlp_net_kwargs_net1: dict[str, Any] | None = None,
        mlp_net_kwargs_net2: dict[str, Any] | None = None,
        device: torch.device | str | int | None = None,
    ) -> None:
        super().__init__()
        first = {
            "out_features": 400,
            "depth": 0,
            "num_cells": [],
            "activation_class": nn.ELU,
            "activate_last_layer": True,
            **(mlp_net_kwargs_net1 or {}),
        }
        second = {
            "out_features": 1,
            "num_cells": [300],
            "activation_class": nn.ELU,
            **(mlp_net_kwargs_net2 or {}),
        }
        self.mlp1 = MLP(**{**first, "device": device})
        self.mlp2 = MLP(**{**second, "device": device})
        shrink_last_layer(self.mlp2)

    def forward(self, observation: Tensor, action: Tensor) -> Tensor:
        """Return the value `[*B, 1]`."""
        return self.mlp2(torch.cat([self.mlp1(observation), action], -1))


def shrink_last_layer(net: nn.Module) -> None:
    """Draw the last linear layer from +-3e-3, so that first outputs are near zero."""
    last = [layer for layer in net.modules() if isinstance(layer, nn.Linear)][-1]
    if isinstance(last, nn.LazyLinear):
        return
    for parameter in last.parameters(recurse=False):
        nn.init.uniform_(parameter, -_LAST_LAYER_BOUND, _LAST_LAYER_BOUND)
