"""The conformance kit of what a buffer holds after any sequence of operations."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from typing import Any

import torch
from tensordict import is_tensor_collection
from torch import Tensor

from rl.core.errors import RLError
from rl.data.buffers.batch import transpose
from rl.data.buffers.replay_buffer import ReplayBuffer
from rl.data.sample_units.transition import Transition
from rl.data.samplers.slices import SliceSampler
from rl.data.samplers.without_replacement import SamplerWithoutReplacement
from rl.data.testing.comparison import clone, equal, require, rows_at
from rl.data.writers.round_robin import RoundRobinWriter

__all__ = ["check_history"]

Operation = tuple[str, int]


def check_history(
    make_buffer: Callable[[], ReplayBuffer],
    make_rows: Callable[[int], Any],
    history: Iterable[Operation],
) -> None:
    """Do operations in turn, and check after each what every buffer promises.

    The rows are those that were written last, in the order of a slow model; a batch holds the rows
    that its index names; what is refused changes nothing; priorities are taken; a buffer loaded
    from a save in the middle holds the same.

    Args:
        make_buffer: makes an empty buffer.
        make_rows: makes rows for `extend`, a TensorDict, a tensor or a dict of tensors, along
            dimension `dim_extend` of the buffer.
        history: pairs of `"extend"`, `"sample"`, `"update"`, `"empty"` or `"reload"` and a size.

    Raises:
        RLError: a promise is broken; the message says which, and after what.

    Example:
        >>> from rl.data import LazyTensorStorage
        >>> check_history(
        ...     lambda: ReplayBuffer(storage=LazyTensorStorage(5)),
        ...     torch.randn,
        ...     [("extend", 3), ("sample", 4), ("extend", 4), ("reload", 0), ("sample", 2)],
        ... )
    """
    done: list[Operation] = []
    rb = make_buffer()
    model = _Model(rb)
    for name, size in history:
        done.append((name, size))
        try:
            rb = _OPERATIONS[name](rb, model, size, make_buffer, make_rows)
            model.compare(rb)
        except RLError as error:
            raise RLError(f"After {done}: {error}") from error


class _Model:
    """The rows of a round-robin buffer, one by one in a list.

    Other writers, and buffers whose transforms change rows, go unmodelled.
    """

    def __init__(self, rb: ReplayBuffer) -> None:
        in_turn = isinstance(rb.writer, RoundRobinWriter) and not rb.sampler.consumes
        self.followed = in_turn and not len(rb.transform)
        self.dim = rb.dim_extend
        self.rows: list[Any] = []
        self.cursor = 0

    def write(self, data: Any, capacity: int) -> None:  # noqa: ANN401
        for row in _rows(data, self.dim):
            self.rows[self.cursor : self.cursor + 1] = [row]
            self.cursor = (self.cursor + 1) % capacity

    def compare(self, rb: ReplayBuffer) -> None:
        if not self.followed:
            return
        count = rb.storage.num_rows
        require(count == len(self.rows), f"the buffer has {count} rows, not {len(self.rows)}.")
        if count:
            found = [_without_index(row) for row in _rows(rb.storage[:], 0)]
            require(equal(found, self.rows), "the rows are not those that were written last.")


def _rows(data: Any, dim: int) -> list[Any]:  # noqa: ANN401
    if isinstance(data, dict):
        parts = {key: _rows(value, dim) for key, value in data.items()}
        return [dict(zip(parts, row, strict=True)) for row in zip(*parts.values(), strict=True)]
    if isinstance(data, Tensor) or is_tensor_collection(data):
        return [clone(row) for row in data.unbind(dim)]
    return list(data)


def _without_index(row: Any) -> Any:  # noqa: ANN401
    return row.exclude("index") if is_tensor_collection(row) else row


def _extend(
    rb: ReplayBuffer, model: _Model, size: int, _make: object, make_rows: Callable[[int], Any]
) -> ReplayBuffer:
    data = make_rows(size)
    written = clone(data)
    rows_first = transpose(data, model.dim) if model.dim else data
    if size > rb.storage.room_for(rows_first) and isinstance(rb.writer, RoundRobinWriter):
        before = clone(rb.storage[:]) if rb.storage.num_rows else None
        try:
            rb.extend(data)
        except ValueError:
            after = rb.storage[:] if rb.storage.num_rows else None
            require(equal(before, after), "an `extend` that raised changed rows.")
            return rb
        raise RLError("more rows than the capacity were taken.")
    index = rb.extend(data)
    model.write(written, rb.storage.max_rows)
    if model.followed:
        require(
            equal(_rows(_picked(rb, index), 0), _rows(_as_elements(written, model.dim, rb), 0)),
            "`extend` returned the index of other rows.",
        )
    return rb


def _picked(rb: ReplayBuffer, index: Tensor) -> Any:  # noqa: ANN401
    place = tuple(index.unbind(-1)) if rb.storage.ndim > 1 else index
    return rows_at(rb.storage[:], place)


def _as_elements(data: Any, dim: int, rb: ReplayBuffer) -> Any:  # noqa: ANN401
    """Return written rows as elements in the order of their numbers."""
    if isinstance(data, dict):
        return {key: _as_elements(value, dim, rb) for key, value in data.items()}
    if rb.storage.ndim == 1 or not (isinstance(data, Tensor) or is_tensor_collection(data)):
        return data
    return data.transpose(0, dim).flatten(0, rb.storage.ndim - 1)


def _sample(rb: ReplayBuffer, model: _Model, size: int, *_: object) -> ReplayBuffer:
    if not len(rb):
        try:
            rb.sample(size)
        except RuntimeError:
            return rb
        raise RLError("sampling an empty buffer returned a batch; it must raise a RuntimeError.")
    if getattr(rb.sampler, "drop_last", False):
        size = min(size, len(rb))
    if isinstance(rb.sampler, SliceSampler):
        size = rb.batch_size or size  # which its slices divide
    before = clone(rb.storage[:])
    data, info = rb.sample(size, return_info=True)
    index = info["index"]
    count = len(index[0] if isinstance(index, tuple) else index)
    if isinstance(rb.sample_unit, Transition):
        fewer = SamplerWithoutReplacement | SliceSampler
        exact = not isinstance(rb.sampler, fewer) and not rb.sampler.consumes
        require(count == size if exact else count <= size, f"{count} elements instead of {size}.")
    wanted = rows_at(before, index)
    if isinstance(wanted, list) and rb.collate_fn is not None:
        wanted = rb.collate_fn(wanted)
    batch = data
    if is_tensor_collection(data):  # what the draw tells may replace entries
        batch, wanted = (part.exclude(*info, "index") for part in (data, wanted))
    if not len(rb.transform) and not rb.relabels:
        require(equal(batch, wanted), "a batch holds other rows than its index names.")
    _spoil(data)
    require(equal(before, rb.storage[:]), "a batch shares memory with the buffer.")
    return rb


def _spoil(data: Any) -> None:  # noqa: ANN401
    if isinstance(data, Tensor):
        data.zero_() if data.any() else data.fill_(1)
    elif isinstance(data, dict) or is_tensor_collection(data):
        for value in data.values():
            _spoil(value)


def _update(rb: ReplayBuffer, model: _Model, size: int, *_: object) -> ReplayBuffer:
    if not len(rb) or not rb.sampler.uses_priority:
        return rb
    count = len(rb.storage)
    elements = torch.arange(size) % count
    index = rb.storage.unravel(elements)
    index = torch.stack(index, -1) if isinstance(index, tuple) else index
    before = clone(rb.sampler.state_dict())
    for bad in (-1.0, float("nan"), float("inf")):
        try:
            rb.update_priority(index[:1], torch.tensor([bad]))
        except ValueError:
            require(
                equal(before, rb.sampler.state_dict()), "a priority that was refused left a trace."
            )
        else:
            raise RLError(f"the priority {bad} was taken.")
    rb.update_priority(index, torch.linspace(0.1, 2.0, size))
    return rb


def _empty(rb: ReplayBuffer, model: _Model, size: int, *_: object) -> ReplayBuffer:
    rb.empty()
    model.rows, model.cursor = [], 0
    require(rb.storage.num_rows == 0, "`empty` left rows.")
    return rb


def _reload(
    rb: ReplayBuffer, model: _Model, size: int, make_buffer: Callable[[], ReplayBuffer], *_: object
) -> ReplayBuffer:
    other = make_buffer()
    with tempfile.TemporaryDirectory() as folder:
        rb.dumps(folder)
        other.loads(folder)
    require(len(other) == len(rb), "a loaded buffer has another number of rows.")
    require(
        equal(rb.sampler.state_dict(), other.sampler.state_dict()),
        "a loaded sampler is in another state.",
    )
    return other


_OPERATIONS: dict[str, Callable[..., ReplayBuffer]] = {
    "extend": _extend,
    "sample": _sample,
    "update": _update,
    "empty": _empty,
    "reload": _reload,
}
