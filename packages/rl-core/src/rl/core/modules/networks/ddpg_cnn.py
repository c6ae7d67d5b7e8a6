"""Networks of deep deterministic policy gradient over pixels (Lillicrap et al. 2016, section 7)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from rl.core.modules.networks.conv import ConvNet
from rl.core.modules.networks.ddpg import shrink_last_layer
from rl.core.modules.networks.mlp import MLP

__all__ = ["DdpgCnnActor", "DdpgCnnQNet"]

_CONV = {
    "num_cells": [32, 64, 64],
    "kernel_sizes": [8, 4, 3],
    "strides": [4, 2, 1],
    "paddings": [0, 0, 1],
    "activation_class": nn.ELU,
}
_POOLED = {
    "aggregator_class": nn.AdaptiveAvgPool2d,
    "aggregator_kwargs": {"output_size": (1, 1)},
    "squeeze_output": True,
}
_MLP = {"depth": 2, "num_cells": 200, "activation_class": nn.ELU}


class DdpgCnnActor(nn.Module):
    """A deterministic policy over images, without squashing.

    Args:
        action_dim: number of actions.
        conv_net_kwargs: arguments of the `ConvNet`.
        mlp_net_kwargs: arguments of the `MLP` over its features.
        use_avg_pooling: average each channel over the pixels, instead of flattening them.
        device: device of the parameters.

    Example:
        >>> action, hidden = DdpgCnnActor(action_dim=2)(torch.zeros(5, 3, 64, 64))
        >>> action.shape, hidden.shape
        (torch.Size([5, 2]), torch.Size([5, 2304]))
    """

    def __init__(
        self,
        action_dim: int,
        conv_net_kwargs: dict[str, Any] | None = None,
        mlp_net_kwargs: dict[str, Any] | None = None,
        use_avg_pooling: bool = False,
        device: torch.device | str | int | None = None,
    ) -> None:
        super().__init__()
        self.convnet = _features(conv_net_kwargs, use_avg_pooling, device)
        self.mlp = MLP(
            **{**_MLP, "out_features": action_dim, **(mlp_net_kwargs or {}), "device": device}
        )
        shrink_last_layer(self.mlp)

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """Return the action's parameter `[*B, A]` and the features `[*B, F]` of `[*B, C, H, W]`."""
        hidden = self.convnet(observation)
        return self.mlp(hidden), hidden


class DdpgCnnQNet(nn.Module):
    """The value of images and actions; actions enter after the convolutions.

    Args:
        conv_net_kwargs: arguments of the `ConvNet`.
        mlp_net_kwargs: arguments of the `MLP` over its features and the action.
        use_avg_pooling: average each channel over the pixels, instead of flattening them.
        device: device of the parameters.

    Example:
        >>> DdpgCnnQNet()(torch.zeros(5, 3, 64, 64), torch.zeros(5, 2)).shape
        torch.Size([5, 1])
    """

    def __init__(
        self,
        conv_net_kwargs: dict[str, Any] | None = None,
        mlp_net_kwargs: dict[str, Any] | None = None,
        use_avg_pooling: bool = True,
        device: torch.device | str | int | None = None,
    ) -> None:
        super().__init__()
        conv_net_kwargs = {"num_cells": [32, 64, 128], **(conv_net_kwargs or {})}
        self.convnet = _features(conv_net_kwargs, use_avg_pooling, device)
        self.mlp = MLP(**{**_MLP, "out_features": 1, **(mlp_net_kwargs or {}), "device": device})
        shrink_last_layer(self.mlp)

    def forward(self, observation: Tensor, action: Tensor) -> Tensor:
        """Return the value `[*B, 1]` of images `[*B, C, H, W]` and actions `[*B, A]`."""
        return self.mlp(torch.cat([self.convnet(observation), action], -1))


def _features(
    kwargs: dict[str, Any] | None,
    use_avg_pooling: bool,
    device: torch.device | str | int | None,
) -> ConvNet:
    pooled = _POOLED if use_avg_pooling else {}
    return ConvNet(**{**_CONV, **pooled, **(kwargs or {}), "device": device})
