"""One step of an LSTM and of a GRU, in plain tensor operations."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from rl.core.errors import ShapeError

__all__ = ["GRUCell", "LSTMCell", "LayerWeights", "gru_step", "lstm_step"]


class LayerWeights(NamedTuple):
    """The weights of one layer, named as in `nn.LSTM`; G is 4 H for an LSTM and 3 H for a GRU."""

    #: [G, F]
    w_ih: Tensor
    #: [G, H], or [G, P] with a projection
    w_hh: Tensor
    #: [G]
    b_ih: Tensor | None
    #: [G]
    b_hh: Tensor | None
    #: [P, H]
    w_hr: Tensor | None = None

    def to(self, dtype: torch.dtype) -> LayerWeights:
        """Return the weights in another dtype."""
        if self.w_ih.dtype == dtype:
            return self
        return LayerWeights(*(None if w is None else w.to(dtype) for w in self))

    def inputs(self, x: Tensor) -> Tensor:
        """Return what `x` [*B, F] adds to the gates, [*B, G]."""
        return linear(x, self.w_ih, self.b_ih)


def lstm_step(gates: Tensor, h: Tensor, c: Tensor, weights: LayerWeights) -> tuple[Tensor, Tensor]:
    """Return the next `(h, c)` (Hochreiter and Schmidhuber 1997; gates as in `nn.LSTM`).

    Args:
        gates: `weights.inputs(x)`, [*B, 4 H].
        h: output of the step before, [*B, H], or [*B, P] with a projection.
        c: cell of the step before, [*B, H].
        weights: of the layer.
    """
    i, f, g, o = (gates + linear(h, weights.w_hh, weights.b_hh)).chunk(4, -1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    h = o.sigmoid() * c.tanh()
    return (h if weights.w_hr is None else linear(h, weights.w_hr)), c


def gru_step(gates: Tensor, h: Tensor, weights: LayerWeights) -> tuple[Tensor]:
    """Return the next `(h,)` (Cho et al. 2014; gates as in `nn.GRU`).

    Args:
        gates: `weights.inputs(x)`, [*B, 3 H].
        h: output of the step before, [*B, H].
        weights: of the layer.
    """
    r_x, z_x, n_x = gates.chunk(3, -1)
    r_h, z_h, n_h = linear(h, weights.w_hh, weights.b_hh).chunk(3, -1)
    n = (n_x + (r_x + r_h).sigmoid() * n_h).tanh()
    return (n + (z_x + z_h).sigmoid() * (h - n),)


class LSTMCell(nn.LSTMCell):
    """One LSTM step, in operations that `torch.vmap` and `torch.compile` can take apart.

    Weights are those of `nn.LSTMCell`.

    Args:
        input_size: F, size of the input.
        hidden_size: H, size of the state.
        bias: whether the gates have biases.
        device: device of the weights.
        dtype: dtype of the weights.

    Raises:
        ShapeError: at call, the input's last dimension is not `input_size`.

    Example:
        >>> h, c = LSTMCell(3, 4)(torch.zeros(5, 3))
        >>> h.shape, c.shape
        (torch.Size([5, 4]), torch.Size([5, 4]))
    """

    def forward(
        self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return `(h, c)`, [*B, H] each.

        Args:
            input: [*B, F].
            hx: `(h, c)` of the step before; zeros by default.
        """
        weights = _weights(self, input)
        if hx is None:
            zero = input.new_zeros((*input.shape[:-1], self.hidden_size))
            hx = (zero, zero)
        return lstm_step(weights.inputs(input), *hx, weights)


class GRUCell(nn.GRUCell):
    """One GRU step, in operations that `torch.vmap` and `torch.compile` can take apart.

    Weights are those of `nn.GRUCell`.

    Args:
        input_size: F, size of the input.
        hidden_size: H, size of the state.
        bias: whether the gates have biases.
        device: device of the weights.
        dtype: dtype of the weights.

    Raises:
        ShapeError: at call, the input's last dimension is not `input_size`.

    Example:
        >>> GRUCell(3, 4)(torch.zeros(5, 3)).shape
        torch.Size([5, 4])
    """

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """Return the next state, [*B, H].

        Args:
            input: [*B, F].
            hx: state of the step before; zeros by default.
        """
        weights = _weights(self, input)
        if hx is None:
            hx = input.new_zeros((*input.shape[:-1], self.hidden_size))
        return gru_step(weights.inputs(input), hx, weights)[0]


def _weights(cell: nn.RNNCellBase, x: Tensor) -> LayerWeights:
    if x.shape[-1:] != torch.Size([cell.input_size]):
        raise ShapeError(
            f"The input of `{type(cell).__name__}` has shape {list(x.shape)}, expected "
            f"[*B, {cell.input_size}]: build it with the `input_size` of the data."
        )
    return LayerWeights(cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh)
