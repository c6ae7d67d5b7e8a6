"""The policy network of Dreamer."""

from __future__ import annotations

from collections.abc import Callable

import torch
from tensordict.nn import NormalParamExtractor
from torch import Tensor, nn

from rl.core.modules.networks.mlp import MLP

__all__ = ["DreamerActor"]


class DreamerActor(nn.Module):
    """Parameters of a squashed Gaussian over actions, from state and belief.

    Hafner et al. 2020, appendix A. The scale is a softplus, equal to `std_bias` where the network
    outputs 0.

    Args:
        out_features: number of actions.
        depth: number of hidden layers.
        num_cells: width of the hidden layers.
        activation_class: class, or factory, of the activation.
        std_bias: scale where the network outputs 0.
        std_min_val: smallest scale.
        device: device of the parameters.

    Example:
        >>> actor = DreamerActor(out_features=2)
        >>> loc, scale = actor(torch.zeros(5, 30), torch.zeros(5, 200))
        >>> loc.shape, scale.shape
        (torch.Size([5, 2]), torch.Size([5, 2]))
    """

    def __init__(
        self,
        out_features: int,
        depth: int = 4,
        num_cells: int = 200,
        activation_class: type[nn.Module] | Callable[..., nn.Module] = nn.ELU,
        std_bias: float = 5.0,
        std_min_val: float = 1e-4,
        device: torch.device | str | int | None = None,
    ) -> None:
        super().__init__()
        self.backbone = MLP(
            out_features=2 * out_features,
            depth=depth,
            num_cells=num_cells,
            activation_class=activation_class,
            device=device,
        )
        self.extract = NormalParamExtractor(
            scale_mapping=f"biased_softplus_{std_bias}_{std_min_val}"
        )

    def forward(self, state: Tensor, belief: Tensor) -> tuple[Tensor, Tensor]:
        """Return location and scale `[*B, A]` from state `[*B, S]` and belief `[*B, H]`."""
        return self.extract(self.backbone(state, belief))
