"""Sequences through a recurrent network: segments in the framework's kernel, or step by step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from rl.core.errors import RLError
from rl.core.modules.recurrent.kernels import run_dense, run_packed
from rl.core.modules.recurrent.segments import Segments, cut, pack, pieces
from rl.core.modules.recurrent.unroll import Restarts, States, unroll

__all__ = ["SequenceRunner", "by_kernel", "by_steps", "check_precision"]

# B sequences, T steps, F features, N layers (times directions), H state, D output
BACKENDS = ("auto", "pad", "scan")


@dataclass(frozen=True, slots=True)
class SequenceRunner:
    """How a module runs sequences.

    Args:
        backend: "pad" (or "auto") runs segments in the framework's kernel, "scan" runs step by
            step, as a Python-based network does in any case.
        compute_dtype: dtype of the computation; by default that of the input.
        recompute: "full" computes again in the backward pass instead of keeping what it needs.

    Raises:
        RLError: an unknown backend, or way to recompute.
    """

    backend: str = "auto"
    compute_dtype: torch.dtype | None = None
    recompute: str = "none"

    def __post_init__(self) -> None:
        if self.backend not in BACKENDS:
            raise RLError(
                f"`recurrent_backend` is {self.backend!r}, expected one of {list(BACKENDS)}: 'pad' "
                "runs whole segments in the framework's fused kernel, 'scan' runs step by step."
            )
        if self.recompute not in ("none", "full"):
            raise RLError(
                f"`recurrent_recompute` is {self.recompute!r}, expected 'none', or 'full' to trade "
                "time for memory in the backward pass."
            )

    def run(
        self,
        net: nn.RNNBase,
        x: Tensor,
        states: States,
        starts: Tensor,
        stored: tuple[Tensor | None, ...],
    ) -> tuple[Tensor, States]:
        """Return outputs and following states.

        Args:
            net: an `nn.LSTM` or `nn.GRU`.
            x: [*B, T, F] input.
            states: [*B, T, N, H] stored states; those at the start of segments are read.
            starts: [*B, T] bool, where segments start; the first step is one in any case.
            stored: [*B, T, N, H] following states, or None, for the steps that the kernel does
                not tell of.

        Returns:
            [*B, T, D] and [*B, T, N, H] each.
        """
        if x.ndim == 3 and self.compute_dtype is None:
            return self._run(net, x, states, starts, stored)
        batch, steps, dtype = x.shape[:-1], x.shape[-2], self.compute_dtype or x.dtype
        out, following = self._run(
            net,
            x.reshape(-1, *x.shape[-2:]).to(dtype),
            tuple(s.reshape(-1, steps, *s.shape[-2:]).to(dtype) for s in states),
            starts.reshape(-1, steps),
            tuple(None if s is None else s.reshape(-1, steps, *s.shape[-2:]) for s in stored),
        )
        return out.to(x.dtype).reshape(*batch, out.shape[-1]), tuple(
            s.to(x.dtype).reshape(*batch, *s.shape[-2:]) for s in following
        )

    def _run(
        self,
        net: nn.RNNBase,
        x_BTF: Tensor,
        states_BTNH: States,
        starts_BT: Tensor,
        stored_BTNH: tuple[Tensor | None, ...],
    ) -> tuple[Tensor, States]:
        inputs = (net, x_BTF, states_BTNH, starts_BT)
        if self.backend == "scan" or not isinstance(net, nn.LSTM | nn.GRU):
            return self._maybe_again(by_steps, *inputs)
        out, last, ends = self._maybe_again(by_kernel, *inputs)
        placed = (
            _place(value, ends, starts_BT.shape, old)
            for value, old in zip(last, stored_BTNH, strict=True)
        )
        return out, tuple(placed)

    def _maybe_again(self, run: Callable[..., tuple], *inputs: Any) -> tuple:
        if self.recompute == "full" and torch.is_grad_enabled():
            return checkpoint(run, *inputs, use_reentrant=False)
        return run(*inputs)


def _place(
    last_SNH: Tensor, ends: Tensor | None, shape: torch.Size, stored: Tensor | None
) -> Tensor:
    """Return [B, T, N, H] states: known at the ends of segments, elsewhere what was there."""
    whole = (*shape, *last_SNH.shape[1:])
    if stored is None:
        placed = last_SNH.new_full(whole, float("nan"))
    else:
        placed = last_SNH.new_empty(whole).copy_(stored)
    if ends is None:
        placed[:, -1] = last_SNH
    else:
        placed.view(-1, *whole[2:])[ends] = last_SNH
    return placed


def by_kernel(
    net: nn.RNNBase, x_BTF: Tensor, states_BTNH: States, starts_BT: Tensor
) -> tuple[Tensor, States, Tensor | None]:
    """Run whole segments through the framework's kernel.

    cuDNN takes a packed batch at once. On CPUs packed batches are slow, but for a GRU of which no
    gradient is asked; there, pieces of equal length follow each other.

    Args:
        net: an `nn.LSTM` or `nn.GRU`.
        x_BTF: input.
        states_BTNH: stored states; those at the start of segments are read.
        starts_BT: bool, where segments start; the first step is one in any case.

    Returns:
        [B, T, D] outputs; the state after the last step of each of the S segments, [S, N, H]
        each; and the [S] places of these steps in the flattened [B T], or None if the segments
        are the rows.
    """
    if not bool(starts_BT[:, 1:].any()):
        out, last = run_dense(net, x_BTF.transpose(0, 1), tuple(s[:, 0] for s in states_BTNH))
        return out.transpose(0, 1), last, None
    segments = cut(starts_BT)
    first = tuple(s.flatten(0, 1).index_select(0, segments.first) for s in states_BTNH)
    run = _packed if _prefers_packed(net, x_BTF) else _piecewise
    out, last = run(net, x_BTF.flatten(0, 1), first, segments)
    return out.unflatten(0, starts_BT.shape), last, segments.last


def _prefers_packed(net: nn.RNNBase, x: Tensor) -> bool:
    # a backward direction starts at the end of the whole segment
    if x.is_cuda or net.bidirectional:
        return True
    return net.mode == "GRU" and not torch.is_grad_enabled()


def _piecewise(
    net: nn.RNNBase, x: Tensor, states_SNH: States, segments: Segments
) -> tuple[Tensor, States]:
    """Return the outputs of [B T, F] steps, and the last states of the segments.

    Args:
        net: as in `by_kernel`.
        x: the steps.
        states_SNH: before the first step of each segment; overwritten.
        segments: which steps follow each other.
    """
    parts = list(pieces(segments))
    source = torch.cat([steps.flatten() for _, steps in parts])
    row = torch.empty_like(source)
    row[source] = torch.arange(len(source), device=source.device)
    outs = []
    ordered = _moved(x, row).split([steps.numel() for _, steps in parts])
    for (rows, steps), piece in zip(parts, ordered, strict=True):
        begin = tuple(s.index_select(0, rows) for s in states_SNH)
        out, last = run_dense(net, piece.view(*steps.shape, -1), begin)
        for state, new in zip(states_SNH, last, strict=True):
            state.index_copy_(0, rows, new)
        outs.append(out.flatten(0, 1))
    return _moved(torch.cat(outs), source), states_SNH


def _moved(x: Tensor, where: Tensor) -> Tensor:
    """Return `x` with row i at `where[i]`, a permutation."""
    # a gather has a scatter as its gradient, which is slow; a copy has a gather
    return x.new_empty(x.shape).index_copy(0, where, x)


def _packed(
    net: nn.RNNBase, x: Tensor, states_SNH: States, segments: Segments
) -> tuple[Tensor, States]:
    """Do what `_piecewise` does in one call."""
    packing = pack(segments)
    begin = tuple(s.index_select(0, packing.order) for s in states_SNH)
    out, last = run_packed(net, packing.pack(x), begin)
    back = packing.order.argsort()
    return packing.unpack(out), tuple(s.index_select(0, back) for s in last)


def by_steps(
    net: nn.RNNBase, x_BTF: Tensor, states_BTNH: States, starts_BT: Tensor
) -> tuple[Tensor, States]:
    """Run step by step in plain tensor operations; no shape depends on the data.

    Args:
        net: an LSTM or a GRU, the framework's or ours.
        x_BTF: input.
        states_BTNH: stored states; those at the start of segments are read.
        starts_BT: bool, where segments start; the first step is one in any case.

    Returns:
        [B, T, D] outputs, and the state after each step, [B, T, N, H] each.

    Raises:
        RLError: the network is bidirectional.
    """
    if net.bidirectional:
        raise RLError(
            "A bidirectional network runs sequences in the framework's kernel only: build the "
            "module with `recurrent_backend='pad'` and without `python_based`."
        )
    stored = tuple(s.permute(1, 2, 0, 3) for s in states_BTNH)
    restarts = Restarts(starts_BT.transpose(0, 1).unsqueeze(-1), stored)
    first = tuple(s[0] for s in stored)
    out, states = unroll(net, x_BTF.transpose(0, 1), first, restarts)
    return out.transpose(0, 1), tuple(s.permute(2, 0, 1, 3) for s in states)


def check_precision(precision: str) -> None:
    """Raise unless `precision` is "auto".

    Raises:
        RLError: precisions belong to a backend that is not here.
    """
    if precision != "auto":
        raise RLError(
            f"`recurrent_matmul_precision` is {precision!r}: it belongs to a Triton backend, which "
            "is not here. Leave it out, and call `torch.set_float32_matmul_precision`, which the "
            "framework's kernels follow."
        )
