"""An LSTM or a GRU run over time in plain tensor operations, from the weights of `nn.LSTM`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout

from rl.core.modules.recurrent.cells import LayerWeights, gru_step, lstm_step

__all__ = ["Restarts", "States", "layer_weights", "unroll"]

# T time, B batch, F features in, G gates, H state, N layers (times directions)
States = tuple[Tensor, ...]
Step = Callable[..., States]


class Restarts(NamedTuple):
    """Where sequences start anew, and the states they start from."""

    #: [T, B, 1] bool
    mask_TB1: Tensor
    #: [T, N, B, H] each
    states_TNBH: States


def layer_weights(net: nn.RNNBase, layer: int, *, reverse: bool = False) -> LayerWeights:
    """Return the weights of one layer of an `nn.LSTM` or `nn.GRU`."""
    tail = f"l{layer}_reverse" if reverse else f"l{layer}"
    names = [f"weight_ih_{tail}", f"weight_hh_{tail}"]
    if net.bias:
        names += [f"bias_ih_{tail}", f"bias_hh_{tail}"]
    if net.proj_size:
        names.append(f"weight_hr_{tail}")
    own = net._parameters
    # a functional call keeps its tensors elsewhere
    found = [own[name] if name in own else getattr(net, name) for name in names]
    if not net.bias:
        found[2:2] = [None, None]
    return LayerWeights(*found)


def unroll(
    net: nn.RNNBase,
    x_TBF: Tensor,
    states_NBH: States,
    restarts: Restarts | None = None,
) -> tuple[Tensor, States]:
    """Return the outputs, and the states after every step.

    Args:
        net: an `nn.LSTM` or `nn.GRU`, whose weights and settings are used.
        x_TBF: input, time first.
        states_NBH: `(h, c)` or `(h,)` before the first step.
        restarts: where other states take over; not for two directions.

    Returns:
        [T, B, D H] outputs, D the number of directions, and [T, N, B, H] states. The backward
        direction's states are those after the pass from the end to that step.
    """
    step = lstm_step if net.mode == "LSTM" else gru_step
    directions = 2 if net.bidirectional else 1
    columns: list[States] = []
    for layer in range(net.num_layers):
        for backward in range(directions):
            weights = layer_weights(net, layer, reverse=bool(backward)).to(x_TBF.dtype)
            index = len(columns)
            gates = weights.inputs(x_TBF)
            state = tuple(s[index] for s in states_NBH)
            anew = None if restarts is None else _of_layer(restarts, index)
            advance = partial(step, weights=weights)
            column = _run_layer(advance, gates.flip(0) if backward else gates, state, anew)
            columns.append(tuple(c.flip(0) for c in column) if backward else column)
        outputs = [column[0] for column in columns[-directions:]]
        x_TBF = outputs[0] if directions == 1 else torch.cat(outputs, -1)
        if net.dropout and net.training and layer < net.num_layers - 1:
            x_TBF = dropout(x_TBF, net.dropout, training=True)
    return x_TBF, tuple(torch.stack(column, 1) for column in zip(*columns, strict=True))


def _of_layer(restarts: Restarts, index: int) -> tuple[Tensor, States]:
    return restarts.mask_TB1, tuple(s[:, index] for s in restarts.states_TNBH)


def _run_layer(
    advance: Step, gates_TBG: Tensor, state: States, anew: tuple[Tensor, States] | None
) -> States:
    """Return the states after each step, [T, B, H] each."""
    rows = []
    for t, gates in enumerate(gates_TBG.unbind(0)):
        if anew is not None:
            mask, starts = anew
            state = tuple(
                torch.where(mask[t], start[t], old)
                for start, old in zip(starts, state, strict=True)
            )
        state = advance(gates, *state)
        rows.append(state)
    return tuple(torch.stack(row) for row in zip(*rows, strict=True))
