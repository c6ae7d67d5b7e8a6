"""The multi-layer perceptron of DreamerV3."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rl.core.errors import RLError, ShapeError

__all__ = ["DreamerV3MLP", "init_linear", "norm_layers"]

# Standard deviation of a standard normal cut at two.
_TRUNCATED_STD = 0.87962566103423978


class DreamerV3MLP(nn.Module):
    """Linear layers with RMS norm and SiLU, then a linear output (Hafner et al. 2023).

    Args:
        in_features: size of the input, of all inputs together.
        out_features: size of the output; None returns the last hidden layer.
        depth: number of hidden layers.
        num_cells: width of the hidden layers.
        outscale: factor on the first weights of the output layer; 0 starts at zero outputs.
        norm_eps: epsilon of the norms.
        device: device of the parameters.

    Inputs `[*B, F]`; several inputs are concatenated along the last dimension.

    Raises:
        RLError: `depth` is negative, or 0 without an output layer.
        ShapeError: at call, the inputs have another size.

    Example:
        >>> net = DreamerV3MLP(6, 4, depth=2, num_cells=8)
        >>> net(torch.zeros(3, 2), torch.zeros(3, 4)).shape
        torch.Size([3, 4])
    """

    def __init__(
        self,
        in_features: int,
        out_features: int | None,
        depth: int = 3,
        num_cells: int = 1024,
        outscale: float = 1.0,
        norm_eps: float = 1e-4,
        device: torch.device | str | int | None = None,
    ) -> None:
        super().__init__()
        if depth < (1 if out_features is None else 0):
            raise RLError(
                f"`DreamerV3MLP` was given depth={depth} and out_features={out_features}: it needs "
                "a hidden layer, or an output."
            )
        self.in_features, self.out_features = in_features, out_features
        layers = norm_layers(in_features, num_cells, depth, norm_eps, device)
        if out_features is not None:
            output = nn.Linear(num_cells if depth else in_features, out_features, device=device)
            init_linear(output, outscale)
            layers.append(output)
        self.model = nn.Sequential(*layers)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return `[*B, out_features]`."""
        x = inputs[0] if len(inputs) == 1 else torch.cat(inputs, -1)
        if x.shape[-1] != self.in_features:
            raise ShapeError(
                f"`DreamerV3MLP` was given {x.shape[-1]} features, expected "
                f"in_features={self.in_features}: {[list(part.shape) for part in inputs]}."
            )
        return self.model(x)


def norm_layers(
    in_features: int | None,
    width: int,
    depth: int,
    norm_eps: float,
    device: torch.device | str | int | None,
) -> list[nn.Module]:
    """Return `depth` linear layers, each with RMS norm and SiLU; None infers the first input."""
    layers: list[nn.Module] = []
    for index in range(depth):
        if index == 0 and in_features is None:
            layers.append(nn.LazyLinear(width, device=device))
        else:
            linear = nn.Linear(width if index else in_features, width, device=device)
            init_linear(linear)
            layers.append(linear)
        layers += [nn.RMSNorm(width, eps=norm_eps, device=device), nn.SiLU()]
    return layers


@torch.no_grad()
def init_linear(layer: nn.Linear, scale: float = 1.0) -> None:
    """Draw weights of variance `scale^2 / fan_in` from a truncated normal; biases start at 0.

    As the authors of DreamerV3 do (Hafner et al. 2023).
    """
    std = scale * layer.in_features**-0.5 / _TRUNCATED_STD
    layer.bias.zero_()
    if not std:
        layer.weight.zero_()
        return
    nn.init.trunc_normal_(layer.weight, std=std, a=-2 * std, b=2 * std)
