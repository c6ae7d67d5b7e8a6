"""The recurrent cell of DreamerV3, whose weights are block-diagonal."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rl.core.errors import ShapeError
from rl.core.modules.world_models.dreamer_v3_mlp import norm_layers

__all__ = ["BlockGRU", "BlockLinear"]


class BlockLinear(nn.Module):
    """A linear layer of several blocks, each from its part of the input to its of the output.

    Args:
        in_features: size of the input, a multiple of `num_blocks`.
        out_features: size of the output, a multiple of `num_blocks`.
        num_blocks: number of blocks.
        device: device of the parameters.

    Raises:
        ShapeError: a size is no multiple of `num_blocks`.

    Example:
        >>> BlockLinear(6, 4, num_blocks=2)(torch.zeros(5, 6)).shape
        torch.Size([5, 4])
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        num_blocks: int,
        device: torch.device | str | int | None = None,
    ) -> None:
        super().__init__()
        for size in (in_features, out_features):
            if size % num_blocks:
                raise ShapeError(
                    f"{size} features do not split into {num_blocks} blocks: choose "
                    "`rnn_hidden_dim` as a multiple of `num_blocks`."
                )
        self.num_blocks = num_blocks
        shape = (num_blocks, in_features // num_blocks, out_features // num_blocks)
        self.weight = nn.Parameter(torch.empty(shape, device=device))
        self.bias = nn.Parameter(torch.zeros(out_features, device=device))
        std = shape[1] ** -0.5
        nn.init.trunc_normal_(self.weight, std=std, a=-2 * std, b=2 * std)

    def forward(self, x: Tensor) -> Tensor:
        """Return `[*B, out_features]`."""
        parts = x.unflatten(-1, (self.num_blocks, -1))
        return torch.einsum("...gi,gio->...go", parts, self.weight).flatten(-2) + self.bias


class BlockGRU(nn.Module):
    """A GRU cell whose hidden layers and gates are block-diagonal.

    Hafner et al. 2023. Belief, state and action each pass a layer; every block reads
    its part of the belief and all three; the gates are `r = sigmoid(.)`, `c = tanh(r .)`,
    `u = sigmoid(. - 1)` and the new belief `u c + (1 - u) h`.

    Args:
        state_dim: size of the state.
        action_dim: size of the action.
        hidden_dim: width of the three layers.
        rnn_hidden_dim: size of the belief, a multiple of `num_blocks`.
        num_blocks: number of blocks.
        num_layers: number of block-diagonal layers before the gates.
        norm_eps: epsilon of the norms.
        device: device of the parameters.

    Raises:
        ShapeError: `rnn_hidden_dim` is no multiple of `num_blocks`.

    Example:
        >>> cell = BlockGRU(4, 2, hidden_dim=8, rnn_hidden_dim=16, num_blocks=4)
        >>> cell(torch.zeros(5, 4), torch.zeros(5, 16), torch.zeros(5, 2)).shape
        torch.Size([5, 16])
    """

    def __init__(
        self,
        state_dim: int,
        action_dim: int,
        hidden_dim: int,
        rnn_hidden_dim: int,
        num_blocks: int = 8,
        num_layers: int = 1,
        norm_eps: float = 1e-4,
        device: torch.device | str | int | None = None,
    ) -> None:
        super().__init__()
        self.num_blocks = num_blocks
        self.belief_projection, self.state_projection, self.action_projection = (
            nn.Sequential(*norm_layers(size, hidden_dim, 1, norm_eps, device))
            for size in (rnn_hidden_dim, state_dim, action_dim)
        )
        layers: list[nn.Module] = []
        width = rnn_hidden_dim + 3 * hidden_dim * num_blocks
        for _ in range(num_layers):
            layers.append(BlockLinear(width, rnn_hidden_dim, num_blocks, device))
            layers += [nn.RMSNorm(rnn_hidden_dim, eps=norm_eps, device=device), nn.SiLU()]
            width = rnn_hidden_dim
        self.hidden_layers = nn.Sequential(*layers)
        self.gates = BlockLinear(width, 3 * rnn_hidden_dim, num_blocks, device)

    def forward(self, state: Tensor, belief: Tensor, action: Tensor) -> Tensor:
        """Return the next belief `[*B, H]`."""
        # actions beyond one are brought to it, as their scale is the env's
        action = action / action.detach().abs().clamp(min=1)
        parts = (
            self.belief_projection(belief),
            self.state_projection(state),
            self.action_projection(action),
        )
        shared = torch.cat(parts, -1).unsqueeze(-2)
        shared = shared.expand(*shared.shape[:-2], self.num_blocks, shared.shape[-1])
        own = belief.unflatten(-1, (self.num_blocks, -1))
        gates = self.gates(self.hidden_layers(torch.cat([own, shared], -1).flatten(-2)))
        gates = gates.unflatten(-1, (self.num_blocks, 3, -1))
        reset, candidate, update = (gate.flatten(-2) for gate in gates.unbind(-2))
        candidate = torch.tanh(reset.sigmoid() * candidate)
        return torch.lerp(belief, candidate, torch.sigmoid(update - 1))
