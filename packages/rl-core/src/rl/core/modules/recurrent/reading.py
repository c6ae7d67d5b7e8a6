"""What a recurrent module finds in a TensorDict, checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from tensordict import TensorDictBase
from torch import Tensor

from rl.core.errors import MissingKeyError, ShapeError, SpecError
from rl.core.modules.actors.output_spec import missing_key
from rl.core.modules.recurrent.unroll import States

if TYPE_CHECKING:
    from rl.core.modules.recurrent.module import RecurrentModule

__all__ = ["read_inputs"]


def read_inputs(
    module: RecurrentModule, td: TensorDictBase, *, sequences: bool
) -> tuple[Tensor, States, Tensor]:
    """Return input [*B, F], states [*B, N, H] and flags of first steps [*B].

    Args:
        module: what reads.
        td: [*B], or without batch size.
        sequences: whether the last batch dimension is time.

    Raises:
        MissingKeyError: an entry is absent; states may be, where trajectories begin.
        ShapeError: an entry has another shape.
        SpecError: the flags are not bool.
    """
    keys = module.keys
    x, is_init = td.get(keys.source, None), td.get(keys.init, None)
    if x is None:
        raise missing_key(module, module.in_keys, td)
    if is_init is None:
        raise MissingKeyError(
            f"`{keys.init}` is missing: `{type(module).__name__}` reads there where trajectories "
            "start. Append `InitTracker()` to the env (collectors and `env.rollout` do it), or "
            "write the flag, [*B, 1] bool."
        )
    batch, size = x.shape[:-1], module.net.input_size
    if x.shape[-1:] != torch.Size([size]) or (td.ndim and td.ndim != len(batch)):
        raise ShapeError(
            f"`{keys.source}` has shape {list(x.shape)} in a TensorDict of shape {list(td.shape)}, "
            f"expected {[*td.shape, size]}: one vector of {size} per row."
        )
    if sequences and not batch:
        raise ShapeError(
            f"`{keys.source}` is one step, of shape {list(x.shape)}, and "
            f"`{type(module).__name__}` takes sequences now, expected [*B, T, {size}]: leave "
            "`set_recurrent_mode(True)`, or add the dimension of time."
        )
    flags = _flags(module, is_init, batch)
    return x, _states(module, td, x, flags, sequences=sequences), flags


def _flags(module: RecurrentModule, is_init: Tensor, batch: torch.Size) -> Tensor:
    if is_init.dtype != torch.bool:
        raise SpecError(
            f"`{module.keys.init}` has dtype {is_init.dtype}, expected torch.bool: "
            f"`td[{module.keys.init!r}].bool()`."
        )
    if is_init.shape == batch:
        return is_init
    if is_init.shape != torch.Size((*batch, 1)):
        raise ShapeError(
            f"`{module.keys.init}` has shape {list(is_init.shape)}, expected {[*batch, 1]}: one "
            f"flag per row of `{module.keys.source}`."
        )
    return is_init.squeeze(-1)


def _states(
    module: RecurrentModule, td: TensorDictBase, x: Tensor, flags: Tensor, *, sequences: bool
) -> States:
    keys, batch = module.keys.states, x.shape[:-1]
    shapes = [torch.Size((*batch, *shape)) for shape in module.state_shapes()]
    states = tuple(td.get(key, None) for key in keys)
    if all(state is None for state in states):
        begins = flags[..., 0] if sequences else flags
        if not bool(begins.all()):
            raise _lost(module, td)
        return tuple(x.new_zeros(shape) for shape in shapes)
    for key, state, shape in zip(keys, states, shapes, strict=True):
        if state is None:
            raise missing_key(module, module.in_keys, td)
        if state.shape != shape:
            raise ShapeError(
                f"`{key}` has shape {list(state.shape)}, expected {list(shape)}: [*B, num_layers, "
                "hidden_size]. Is it the state of another network?"
            )
    return states


def _lost(module: RecurrentModule, td: TensorDictBase) -> MissingKeyError:
    return MissingKeyError(
        f"{list(module.keys.states)} are missing from the TensorDict, which has "
        f"{sorted(td.keys(True, True), key=str)}, and by `{module.keys.init}` a trajectory goes on "
        "here: its state is lost. Append `module.make_tensordict_primer()` to the env (collectors "
        "and `env.rollout` do it), or start from an empty memory on purpose: "
        "`td.update(module.initial_state(td.batch_size))`."
    )
