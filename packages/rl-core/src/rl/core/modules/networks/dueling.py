"""Dueling networks of action values."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from rl.core.modules.networks.conv import ConvNet
from rl.core.modules.networks.mlp import MLP

__all__ = ["DuelingCnnDQNet", "DuelingMlpDQNet"]

_ATARI = {
    "depth": 3,
    "num_cells": [32, 64, 64],
    "strides": [4, 2, 1],
    "kernel_sizes": [8, 4, 3],
}


class _Dueling(nn.Module):
    """Features, then `Q(s, a) = V(s) + A(s, a) - mean_a A(s, a)` (Wang et al. 2016, eq. 9)."""

    def __init__(
        self, features: nn.Module, out_features: int, out_features_value: int, kwargs: dict
    ) -> None:
        super().__init__()
        self.features = features
        self.advantage = MLP(out_features=out_features, **kwargs)
        self.value = MLP(out_features=out_features_value, **kwargs)

    def forward(self, x: Tensor) -> Tensor:
        """Return the action values `[*B, N]`."""
        hidden = self.features(x)
        advantage = self.advantage(hidden)
        return self.value(hidden) + advantage - advantage.mean(-1, keepdim=True)


class DuelingMlpDQNet(_Dueling):
    """Action values of state vectors, split into state value and advantage.

    Args:
        out_features: number of actions.
        out_features_value: size of the state value.
        mlp_kwargs_feature: arguments of the feature `MLP`.
        mlp_kwargs_output: arguments of the two head `MLP`s.
        device: device of the parameters.

    Example:
        >>> DuelingMlpDQNet(out_features=4)(torch.zeros(5, 3)).shape
        torch.Size([5, 4])
    """

    def __init__(
        self,
        out_features: int,
        out_features_value: int = 1,
        mlp_kwargs_feature: dict[str, Any] | None = None,
        mlp_kwargs_output: dict[str, Any] | None = None,
        device: torch.device | str | int | None = None,
    ) -> None:
        feature = {
            "num_cells": [256, 256],
            "out_features": 256,
            "activation_class": nn.ELU,
            "activate_last_layer": True,
            **(mlp_kwargs_feature or {}),
            "device": device,
        }
        head = {"depth": 1, "activation_class": nn.ELU, "num_cells": 512}
        head |= {**(mlp_kwargs_output or {}), "device": device}
        super().__init__(MLP(**feature), out_features, out_features_value, head)


class DuelingCnnDQNet(_Dueling):
    """Action values of images, split into state value and advantage.

    Args:
        out_features: number of actions.
        out_features_value: size of the state value.
        cnn_kwargs: arguments of the feature `ConvNet`; default: the three layers of Mnih et al.
            2015.
        mlp_kwargs: arguments of the two head `MLP`s.
        device: device of the parameters.

    Example:
        >>> DuelingCnnDQNet(out_features=4)(torch.zeros(5, 4, 84, 84)).shape
        torch.Size([5, 4])
    """

    def __init__(
        self,
        out_features: int,
        out_features_value: int = 1,
        cnn_kwargs: dict[str, Any] | None = None,
        mlp_kwargs: dict[str, Any] | None = None,
        device: torch.device | str | int | None = None,
    ) -> None:
        features = ConvNet(**{**_ATARI, **(cnn_kwargs or {}), "device": device})
        head = {"depth": 1, "activation_class": nn.ELU, "num_cells": 512}
        head |= {**(mlp_kwargs or {}), "device": device}
        super().__init__(features, out_features, out_features_value, head)
