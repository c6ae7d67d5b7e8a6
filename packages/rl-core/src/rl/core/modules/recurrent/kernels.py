"""Calls of the framework's recurrent kernels, without the module around them where that is idle."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from rl.core.modules.networks.layer_calls import has_global_hooks, is_hooked
from rl.core.modules.recurrent.unroll import States, layer_weights

__all__ = ["run_dense", "run_packed"]


def run_dense(net: nn.RNNBase, x_TBF: Tensor, states_BNH: States) -> tuple[Tensor, States]:
    """Return the outputs of sequences of equal length, and their last states.

    Args:
        net: an `nn.LSTM` or `nn.GRU`; in which order it takes dimensions does not matter.
        x_TBF: input, time first.
        states_BNH: before the first step.

    Returns:
        [T, B, D] outputs and [B, N, H] states.
    """
    hx = _layers_first(states_BNH)
    if not _is_bare(net):
        x = x_TBF.transpose(0, 1) if net.batch_first else x_TBF
        out, *last = _flat(_by_module(net, x, hx))
        return out.transpose(0, 1) if net.batch_first else out, _rows_first(last)
    kernel = torch.lstm if net.mode == "LSTM" else torch.gru
    out, *last = kernel(x_TBF, _as_given(net, hx), *_settings(net, hx[0].dtype), False)
    return out, _rows_first(last)


def run_packed(
    net: nn.RNNBase, packed: PackedSequence, states_SNH: States
) -> tuple[Tensor, States]:
    """Return the rows of the outputs of a packed batch, and the last states of its sequences."""
    hx = _layers_first(states_SNH)
    if not _is_bare(net):
        out, *last = _flat(_by_module(net, packed, hx))
        return out.data, _rows_first(last)
    kernel = torch.lstm if net.mode == "LSTM" else torch.gru
    out, *last = kernel(
        packed.data, packed.batch_sizes, _as_given(net, hx), *_settings(net, hx[0].dtype)
    )
    return out, _rows_first(last)


def _is_bare(net: nn.RNNBase) -> bool:
    """Tell whether calling `net` does nothing but call its kernel."""
    return type(net) in (nn.LSTM, nn.GRU) and not (has_global_hooks() or is_hooked(net))


def _by_module(net: nn.RNNBase, x: Tensor | PackedSequence, hx: States) -> tuple:
    inputs, dtype = (x, _as_given(net, hx)), hx[0].dtype
    if net.weight_ih_l0.dtype == dtype:
        return net(*inputs)
    cast = {name: weight.to(dtype) for name, weight in net.named_parameters()}
    return torch.func.functional_call(net, cast, inputs)


def _settings(net: nn.RNNBase, dtype: torch.dtype) -> tuple:
    """Return the weights in one list, and what else the kernels ask for."""
    weights = [
        weight
        for layer in range(net.num_layers)
        for reverse in ((False, True) if net.bidirectional else (False,))
        for weight in layer_weights(net, layer, reverse=reverse).to(dtype)
        if weight is not None
    ]
    return weights, net.bias, net.num_layers, net.dropout, net.training, net.bidirectional


def _as_given(net: nn.RNNBase, hx: States) -> States | Tensor:
    return hx if net.mode == "LSTM" else hx[0]


def _flat(result: tuple) -> tuple:
    out, last = result
    return (out, *last) if isinstance(last, tuple) else (out, last)


def _layers_first(states_BNH: States) -> States:
    return tuple(s.transpose(0, 1).contiguous() for s in states_BNH)


def _rows_first(states_NBH: Iterable[Tensor]) -> States:
    return tuple(s.transpose(0, 1) for s in states_NBH)
