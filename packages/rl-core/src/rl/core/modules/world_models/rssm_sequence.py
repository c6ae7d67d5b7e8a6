"""Unrolling prior and posterior over the time dimension of a TensorDict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from tensordict import TensorDict, TensorDictBase
from tensordict.nn import TensorDictModule, TensorDictModuleBase
from torch import Tensor

from rl.core.contract.keys import NestedKey, in_next, unravel_key
from rl.core.errors import MissingKeyError, RLError, ShapeError

__all__ = ["SequenceKeys", "call_tensordict", "call_tensors", "sequence_keys", "unroll"]

Values = dict[NestedKey, Tensor]
Step = Callable[[Values], Values]


@dataclass(frozen=True)
class SequenceKeys:
    """Which entries a step reads, hands to the next step, and writes.

    Example:
        >>> SequenceKeys({"belief": ("next", "belief")}, ["action"], [("next", "belief")]).read
        ['action']
    """

    carried: dict[NestedKey, NestedKey]
    """From the entry that a step reads to the one that the step before wrote for it."""

    read: list[NestedKey]
    """Entries read at each time."""

    written: list[NestedKey]
    """Entries written at each time."""


def sequence_keys(prior: TensorDictModuleBase, posterior: TensorDictModuleBase) -> SequenceKeys:
    """Return the wiring of a step made of prior, then posterior.

    What the prior reads and the step writes, at the same key or below `"next"`, is carried.

    Raises:
        RLError: nothing is carried.
    """
    prior_in, prior_out = _names(prior.in_keys), _names(prior.out_keys)
    written = list(dict.fromkeys([*prior_out, *_names(posterior.out_keys)]))
    carried = {}
    for key in prior_in:
        for source in (in_next(key), key):
            if source in written:
                carried[key] = source
                break
    if not carried:
        raise RLError(
            f"The prior reads {prior_in} and the step writes {written}: nothing goes from one step "
            'to the next. Name the outputs `("next", key)` after the prior\'s inputs.'
        )
    inputs = [*prior_in, *(key for key in _names(posterior.in_keys) if key not in prior_out)]
    read = [key for key in dict.fromkeys(inputs) if key not in carried]
    return SequenceKeys(carried, read, written)


def unroll(
    step: Step,
    data: TensorDictBase,
    keys: SequenceKeys,
    starts: Tensor | None = None,
    cleared: Sequence[NestedKey] = (),
) -> Values:
    """Return what `step` wrote, with the carried and cleared entries it read, over the last dim.

    Args:
        step: from the entries of one time, `[*B, *F]`, to those it writes.
        data: `[*B, T]`; the carried entries are read at its first time.
        keys: the wiring.
        starts: `[*B, T]` bool, true where an episode starts.
        cleared: entries that are zero there.

    Raises:
        ShapeError: `data` has no time dimension, or no time.
        MissingKeyError: an entry is not in `data`.
    """
    if not data.batch_dims or not data.shape[-1]:
        raise ShapeError(
            f"The sequence has batch size {list(data.batch_size)}, expected [*B, T] with at least "
            "one time: sample slices (`SliceSampler`), or add the dimension (`unsqueeze(-1)`)."
        )
    dim = data.batch_dims - 1
    columns = {key: _entry(data, key).unbind(dim) for key in keys.read}
    carry = {key: _entry(data, key).select(dim, 0) for key in keys.carried}
    shown = dict.fromkeys([*keys.carried, *cleared])
    record: dict[NestedKey, list[Tensor]] = {}
    for time in range(data.shape[-1]):
        values = {key: column[time] for key, column in columns.items()} | carry
        for key in cleared:
            values[key] = _zero_where(starts.select(dim, time), values[key])
        outputs = step(values)
        for key, value in ({key: values[key] for key in shown} | outputs).items():
            record.setdefault(key, []).append(value)
        carry = {key: outputs[source] for key, source in keys.carried.items()}
    return {key: torch.stack(rows, dim) for key, rows in record.items()}


def call_tensordict(module: TensorDictModuleBase, values: Values, batch: torch.Size) -> Values:
    """Run a module on entries in a TensorDict, and return those it writes."""
    data = module(TensorDict(values, batch_size=batch))
    return {key: data[key] for key in _names(module.out_keys)}


def call_tensors(module: TensorDictModule, values: Values) -> Values:
    """Run the function of a `TensorDictModule` on entries, and return those it writes."""
    outputs = module.module(*(values[unravel_key(key)] for key in module.in_keys))
    if isinstance(outputs, Tensor):
        outputs = (outputs,)
    named = zip(module.out_keys, outputs, strict=True)
    return {unravel_key(key): value for key, value in named if key != "_"}


def _names(keys: list[NestedKey]) -> list[NestedKey]:
    return [unravel_key(key) for key in keys if key != "_"]


def _entry(data: TensorDictBase, key: NestedKey) -> Tensor:
    value = data.get(key, None)
    if value is None:
        raise MissingKeyError(
            f"The sequence lacks {key!r}, its keys are {sorted(data.keys(True, True), key=str)}: "
            "encode the observations first, and add state and belief (`TensorDictPrimer`)."
        )
    return value


def _zero_where(mask: Tensor, value: Tensor) -> Tensor:
    mask = mask.reshape(mask.shape + (1,) * (value.dim() - mask.dim()))
    return torch.where(mask, torch.zeros_like(value), value)
