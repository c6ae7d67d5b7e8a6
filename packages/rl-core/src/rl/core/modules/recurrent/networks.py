"""LSTM and GRU that `torch.vmap` and `torch.compile` can take apart."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rl.core.errors import RLError, ShapeError
from rl.core.modules.recurrent.unroll import States, unroll

__all__ = ["GRU", "LSTM"]


class LSTM(nn.RNNBase):
    """`nn.LSTM` in plain tensor operations: the same weights, results and call.

    Slower than `nn.LSTM`, which calls one kernel; for `torch.vmap` over stacked weights, second
    derivatives and graphs without breaks.

    Args:
        input_size: F, size of the input.
        hidden_size: H, size of the state.
        num_layers: N, layers on top of each other.
        batch_first: inputs are [B, T, F] rather than [T, B, F].
        bias: whether the gates have biases.
        dropout: probability of dropout between layers, in training.
        bidirectional: run over time in both directions.
        proj_size: size of the output, if it is a projection of the state.
        device: device of the weights.
        dtype: dtype of the weights.
        use_scan: False; see `Raises`.

    Raises:
        RLError: `use_scan` is true: torch's `scan` does not compile these steps with inductor.
        ShapeError: at call, the input is not [B, T, F] nor [T, F].

    Example:
        >>> out, (h, c) = LSTM(3, 4)(torch.zeros(5, 7, 3))
        >>> out.shape, h.shape
        (torch.Size([5, 7, 4]), torch.Size([1, 5, 4]))
    """

    def __init__(  # noqa: PLR0913 - the arguments that TorchRL users pass
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        batch_first: bool = True,
        bias: bool = True,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
        *,
        use_scan: bool = False,
    ) -> None:
        super().__init__(
            "LSTM",
            input_size,
            hidden_size,
            num_layers,
            bias=bias,
            batch_first=batch_first,
            dropout=dropout,
            bidirectional=bidirectional,
            proj_size=proj_size,
            device=device,
            dtype=dtype,
        )
        _refuse_scan(use_scan)

    def forward(
        self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return the outputs and the last `(h, c)`, in the shapes of `nn.LSTM`.

        Args:
            input: [B, T, F], or [T, F].
            hx: `(h, c)` before the first step, [N, B, H] each, or [N, H]; zeros by default.
        """
        out, last = _run(self, input, hx)
        return out, last


class GRU(nn.RNNBase):
    """`nn.GRU` in plain tensor operations: the same weights, results and call.

    Args:
        input_size: F, size of the input.
        hidden_size: H, size of the state.
        num_layers: N, layers on top of each other.
        batch_first: inputs are [B, T, F] rather than [T, B, F].
        bias: whether the gates have biases.
        dropout: probability of dropout between layers, in training.
        bidirectional: run over time in both directions.
        device: device of the weights.
        dtype: dtype of the weights.
        use_scan: False; see `Raises`.

    Raises:
        RLError: `use_scan` is true: torch's `scan` does not compile these steps with inductor.
        ShapeError: at call, the input is not [B, T, F] nor [T, F].

    Example:
        >>> out, h = GRU(3, 4)(torch.zeros(5, 7, 3))
        >>> out.shape, h.shape
        (torch.Size([5, 7, 4]), torch.Size([1, 5, 4]))
    """

    def __init__(  # noqa: PLR0913 - the arguments that TorchRL users pass
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        batch_first: bool = True,
        bias: bool = True,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
        *,
        use_scan: bool = False,
    ) -> None:
        super().__init__(
            "GRU",
            input_size,
            hidden_size,
            num_layers,
            bias=bias,
            batch_first=batch_first,
            dropout=dropout,
            bidirectional=bidirectional,
            device=device,
            dtype=dtype,
        )
        _refuse_scan(use_scan)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the outputs and the last state, in the shapes of `nn.GRU`.

        Args:
            input: [B, T, F], or [T, F].
            hx: state before the first step, [N, B, H] or [N, H]; zeros by default.
        """
        out, (last,) = _run(self, input, None if hx is None else (hx,))
        return out, last


def _refuse_scan(use_scan: bool) -> None:
    # measured with torch 2.13: values and gradients of `scan` over these steps are right in eager
    # mode and under "aot_eager"; inductor refuses the LSTM (aliasing) and fails in the GRU
    # (data-dependent output), or, where it went through, gave a wrong gradient of `bias_hh`
    if use_scan:
        raise RLError(
            "`use_scan=True` is refused: torch's `scan` over these steps does not compile with "
            "inductor, and uncompiled it is slower than the loop. Leave it out: "
            "the loop gives the same numbers, with or without a compiler."
        )


def _run(net: LSTM | GRU, x: Tensor, hx: States | None) -> tuple[Tensor, States]:
    if not isinstance(x, Tensor) or x.ndim not in (2, 3) or x.shape[-1] != net.input_size:
        given = list(x.shape) if isinstance(x, Tensor) else type(x).__name__
        order = "[B, T," if net.batch_first else "[T, B,"
        raise ShapeError(
            f"The input of `{type(net).__name__}` is {given}, expected {order} {net.input_size}] "
            f"or [T, {net.input_size}]: flatten other batch dimensions into one."
        )
    lone = x.ndim == 2
    batch_dim = 1 if lone or not net.batch_first else 0
    if lone:
        x = x.unsqueeze(batch_dim)
        hx = None if hx is None else tuple(s.unsqueeze(1) for s in hx)
    states = _zeros(net, x, x.shape[batch_dim]) if hx is None else hx
    out, columns = unroll(net, x.movedim(batch_dim, 1), states)
    last = tuple(_last(column, net.bidirectional) for column in columns)
    if lone:
        return out.squeeze(1), tuple(s.squeeze(1) for s in last)
    return out.movedim(1, batch_dim), last


def _zeros(net: LSTM | GRU, x: Tensor, size: int) -> States:
    count = net.num_layers * (2 if net.bidirectional else 1)
    h = x.new_zeros((count, size, net.proj_size or net.hidden_size))
    return (h, x.new_zeros((count, size, net.hidden_size))) if net.mode == "LSTM" else (h,)


def _last(column_TNBH: Tensor, bidirectional: bool) -> Tensor:
    """Return the states at the end of each pass: that of a backward one is at the first step."""
    if not bidirectional:
        return column_TNBH[-1]
    ends = torch.stack([column_TNBH[-1, ::2], column_TNBH[0, 1::2]], 1)
    return ends.flatten(0, 1)
