"""A causal transformer over embedded tokens (Radford et al. 2019)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from rl.core.errors import RLError, ShapeError, nearest

__all__ = ["CausalTransformer", "DTConfig"]

_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "gelu_new": lambda: nn.GELU(approximate="tanh"),
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}
_INIT_STD = 0.02


@dataclass
class DTConfig:
    """The sizes of a causal transformer.

    Attributes:
        n_embd: size of a token.
        n_layer: number of blocks.
        n_head: number of attention heads; it divides `n_embd`.
        n_inner: size of the hidden layer of a block.
        activation: `"relu"`, `"gelu"`, `"gelu_new"`, `"silu"` or `"tanh"`.
        n_positions: longest sequence of steps.
        resid_pdrop: dropout on embeddings and on what a block adds.
        attn_pdrop: dropout on attention.

    Example:
        >>> DTConfig(n_embd=128).n_layer
        4
    """

    n_embd: int = 256
    n_layer: int = 4
    n_head: int = 4
    n_inner: int = 1024
    activation: str = "relu"
    n_positions: int = 1024
    resid_pdrop: float = 0.1
    attn_pdrop: float = 0.1


class _Attention(nn.Module):
    """Each token attends to itself and those before it."""

    def __init__(self, config: DTConfig) -> None:
        super().__init__()
        self.heads, self.dropout = config.n_head, config.attn_pdrop
        self.qkv = nn.Linear(config.n_embd, 3 * config.n_embd)
        self.out = nn.Linear(config.n_embd, config.n_embd)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(-3, -2)
            for part in self.qkv(x).chunk(3, -1)
        )
        dropout = self.dropout if self.training else 0.0
        mixed = functional.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True)
        return self.out(mixed.transpose(-3, -2).flatten(-2))


class _Block(nn.Module):
    """Attention and a perceptron, each after a normalisation and added to its input."""

    def __init__(self, config: DTConfig) -> None:
        super().__init__()
        self.norm_1 = nn.LayerNorm(config.n_embd)
        self.attention = _Attention(config)
        self.norm_2 = nn.LayerNorm(config.n_embd)
        self.perceptron = nn.Sequential(
            nn.Linear(config.n_embd, config.n_inner),
            _ACTIVATIONS[config.activation](),
            nn.Linear(config.n_inner, config.n_embd),
        )
        self.dropout = nn.Dropout(config.resid_pdrop)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.dropout(self.attention(self.norm_1(x)))
        return x + self.dropout(self.perceptron(self.norm_2(x)))


class CausalTransformer(nn.Module):
    """Blocks of causal attention over tokens that are already embedded, GPT-2's without vocabulary.

    Args:
        config: the sizes.
        device: device of the parameters.

    Inputs and outputs `[*B, L, n_embd]`; output i depends on the inputs up to i.

    Raises:
        RLError: the activation is unknown, or `n_head` does not divide `n_embd`.
        ShapeError: at call, the tokens have another size.

    Example:
        >>> trunk = CausalTransformer(DTConfig(n_embd=8, n_layer=1, n_head=2, n_inner=16))
        >>> trunk(torch.zeros(2, 5, 8)).shape
        torch.Size([2, 5, 8])
    """

    def __init__(self, config: DTConfig, device: torch.device | str | int | None = None) -> None:
        super().__init__()
        if config.activation not in _ACTIVATIONS:
            raise RLError(
                f"The activation `{config.activation}` is not known. "
                f"{nearest(config.activation, _ACTIVATIONS)}"
            )
        if config.n_embd % config.n_head:
            raise RLError(
                f"n_embd={config.n_embd} is not a multiple of n_head={config.n_head}: each head "
                "takes an equal part of the embedding."
            )
        self.size = config.n_embd
        self.dropout = nn.Dropout(config.resid_pdrop)
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.n_layer))
        self.norm = nn.LayerNorm(config.n_embd)
        self.reset_parameters()
        self.to(device)

    def reset_parameters(self) -> None:
        """Draw the linear maps from Normal(0, 0.02), less on the way back into the residuals."""
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=_INIT_STD)
                nn.init.zeros_(layer.bias)
        for block in self.blocks:
            for layer in (block.attention.out, block.perceptron[-1]):
                nn.init.normal_(layer.weight, std=_INIT_STD / (2 * len(self.blocks)) ** 0.5)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the features of each token."""
        if tokens.dim() < 2 or tokens.shape[-1] != self.size:
            raise ShapeError(
                f"The tokens have shape {list(tokens.shape)}, expected [*B, L, {self.size}]: set "
                "`n_embd` to their size."
            )
        batch = tokens.shape[:-2]
        x = self.dropout(tokens.reshape(-1, *tokens.shape[-2:]))
        for block in self.blocks:
            x = block(x)
        return self.norm(x).reshape(*batch, *tokens.shape[-2:])
