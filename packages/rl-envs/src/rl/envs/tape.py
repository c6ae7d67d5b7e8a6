"""A tape: the leaves of successive steps, written by column into one batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import itemgetter

import torch
from tensordict import LazyStackedTensorDict, TensorDict, TensorDictBase
from torch import Tensor

from rl.core import RLError, ShapeError

__all__ = ["Tape"]

#: steps whose leaves are kept before they are written: enough to share the cost of a write, few
#: enough to hold little memory twice
CHUNK = 64
#: steps for which room is made at first
ROOM = 1024


class Tape:
    """Records one transition per `append` and gives them back as one `[*B, T]` batch.

    Dense data is written into preallocated columns, a few steps at a time: no TensorDict is copied
    or stacked. Ragged or non-tensor data is kept as TensorDicts and takes the slower road.

    What is appended must not be written in place afterwards.

    Args:
        steps: the most steps that will be appended.
        dense: False to return a lazy stack.
        out: a dense `[*B, steps]` TensorDict to write into, such as the result of an earlier tape.

    Raises:
        ShapeError: `out` holds another number of steps.
    """

    def __init__(
        self, steps: int, *, dense: bool = True, out: TensorDictBase | None = None
    ) -> None:
        if out is not None and out.shape[-1:] != (steps,):
            raise ShapeError(
                f"`out` has shape {list(out.shape)}, expected [*B, {steps}]: one slot per step."
            )
        self._room = steps if out is not None else min(steps, ROOM)
        self._dense = dense
        self._out = out
        self._layout: _Layout | None = None
        self._columns: list[Tensor] = []
        self._rows: list[tuple] = []
        self._written = 0
        self._begun = False
        #: gradients flow through the data, which therefore cannot be written in place
        self._graph = False

    def __len__(self) -> int:
        return self._written + len(self._rows)

    def append(self, tensordict: TensorDictBase, next_tensordict: TensorDictBase) -> None:
        """Record a root and the content of its "next".

        Raises:
            RLError: the set of keys changed since the first step.
        """
        if not self._begun:
            self._begin(tensordict, next_tensordict)
        if self._dense:
            self._rows.append(self._layout.read(tensordict, next_tensordict))
            if len(self._rows) == CHUNK and not self._graph:
                self._write()
        else:
            row = tensordict.copy()
            self._rows.append((row.set("next", next_tensordict.copy()),))

    def _begin(self, tensordict: TensorDictBase, next_tensordict: TensorDictBase) -> None:
        self._begun = True
        self._dense = self._dense and _is_dense(tensordict) and _is_dense(next_tensordict)
        if self._dense:
            self._layout = _Layout(tensordict, next_tensordict)
            leaves = self._layout.read(tensordict, next_tensordict)
            self._graph = any(leaf.requires_grad for leaf in leaves)
        if self._out is not None and (self._graph or not self._dense):
            raise RLError(
                "`out` takes dense data without gradients: call the rollout under "
                "`torch.no_grad()`, or leave `out` out."
            )

    def stack(self) -> TensorDictBase:
        """Return the batch, with a last batch dim named "time".

        Raises:
            RLError: nothing was recorded.
        """
        if not len(self):
            raise RLError("Nothing was recorded: the rollout has no step. Ask for 1 step at least.")
        if not self._dense:
            rows = [row[0] for row in self._rows]
            batch = LazyStackedTensorDict.lazy_stack(rows, rows[0].ndim)
        elif self._graph:
            columns = zip(*self._rows, strict=True)
            stacked = [torch.stack(column, self._layout.time_dim) for column in columns]
            batch = self._layout.build(stacked, len(self))
        else:
            if self._rows:
                self._write()
            batch = self._build() if self._out is None else self._out
            if self._written < self._room and self._out is not None:
                batch = batch[..., : self._written]
        batch.refine_names(..., "time")
        return batch

    def _write(self) -> None:
        columns = list(zip(*self._rows, strict=True))
        if not self._columns:
            self._columns = self._allocate([column[0] for column in columns])
        count, dim = len(self._rows), self._layout.time_dim
        while self._written + count > self._room:
            self._columns = [torch.cat([c, torch.empty_like(c)], dim) for c in self._columns]
            self._room *= 2
        for target, column in zip(self._columns, columns, strict=True):
            # a stack into `out=` is several times slower than a stack and a copy
            target.narrow(dim, self._written, count).copy_(torch.stack(column, dim))
        self._written += count
        self._rows.clear()

    def _allocate(self, leaves: list[Tensor]) -> list[Tensor]:
        if self._out is not None:
            return self._layout.leaves_of(self._out)
        dim = self._layout.time_dim
        return [
            leaf.new_empty((*leaf.shape[:dim], self._room, *leaf.shape[dim:])) for leaf in leaves
        ]

    def _build(self) -> TensorDictBase:
        dim, steps = self._layout.time_dim, self._written
        columns = self._columns
        if steps < self._room:
            columns = [column.narrow(dim, 0, steps).clone() for column in columns]
        return self._layout.build(columns, steps)


class _Layout:
    """Where the leaves of a transition lie: the root, "next", and every nested group of both."""

    def __init__(self, root: TensorDictBase, following: TensorDictBase) -> None:
        self.time_dim = root.ndim
        self.root = _Node(root)
        self.next = _Node(following)

    def read(self, root: TensorDictBase, following: TensorDictBase) -> tuple:
        return self.root.read(root) + self.next.read(following)

    def leaves_of(self, batch: TensorDictBase) -> list[Tensor]:
        root = batch.exclude("next")
        return [*self.root.leaves_of(root), *self.next.leaves_of(batch.get("next"))]

    def build(self, columns: list[Tensor], steps: int) -> TensorDictBase:
        remaining = iter(columns)
        batch = self.root.build(remaining, self.time_dim, steps)
        return batch.set("next", self.next.build(remaining, self.time_dim, steps))


class _Node:
    """One TensorDict of the layout: the names of its leaves and of its nested TensorDicts."""

    def __init__(self, tensordict: TensorDictBase) -> None:
        self.batch_size = tensordict.batch_size
        self.device = tensordict.device
        items = list(tensordict.items())
        self.keys = tuple(key for key, value in items if isinstance(value, Tensor))
        self.nested = [
            (key, _Node(value)) for key, value in items if isinstance(value, TensorDictBase)
        ]
        #: the order of keys in which the values are the leaves as they come
        self._order = None if self.nested else self.keys
        #: how to read the values of a TensorDict whose keys come in another order
        self._readers: dict[tuple[str, ...], Callable[[tuple], tuple]] = {}

    def read(self, tensordict: TensorDictBase) -> tuple:
        """Return the leaves, those of nested TensorDicts last."""
        order = tuple(tensordict.keys())
        row = tuple(tensordict.values())
        if order == self._order:
            return row
        reader = self._readers.get(order)
        if reader is None:
            reader = self._readers[order] = self._reader(order)
        return reader(row)

    def _reader(self, order: tuple[str, ...]) -> Callable[[tuple], tuple]:
        found = set(order)
        expected = {*self.keys, *(key for key, _ in self.nested)}
        if found != expected:
            raise RLError(
                f"The keys of a step changed during the rollout: new {sorted(found - expected)}, "
                f"missing {sorted(expected - found)}. Let the env and the policy write the same "
                "keys at every step and reset, or pass `return_contiguous=False`."
            )
        place = {key: index for index, key in enumerate(order)}
        leaves = [place[key] for key in self.keys]
        groups = [(place[key], node) for key, node in self.nested]
        if not groups:
            return itemgetter(*leaves) if len(leaves) > 1 else lambda row: (row[leaves[0]],)

        def read(row: tuple) -> tuple:
            flat = tuple(row[index] for index in leaves)
            for index, node in groups:
                flat += node.read(row[index])
            return flat

        return read

    def leaves_of(self, batch: TensorDictBase) -> list[Tensor]:
        """Return the leaves of a batch in the order of `read`."""
        leaves = [batch.get(key) for key in self.keys]
        for key, node in self.nested:
            leaves += node.leaves_of(batch.get(key))
        return leaves

    def build(self, columns: Iterator[Tensor], time_dim: int, steps: int) -> TensorDict:
        """Return the columns as a TensorDict."""
        tree: dict = {key: next(columns) for key in self.keys}
        for key, node in self.nested:
            tree[key] = node.build(columns, time_dim, steps)
        lead, tail = self.batch_size[:time_dim], self.batch_size[time_dim:]
        return TensorDict(tree, batch_size=(*lead, steps, *tail), device=self.device)


def _is_dense(tensordict: TensorDictBase) -> bool:
    """Tell whether every leaf is a tensor, in plain TensorDicts with at least one leaf each."""
    if not isinstance(tensordict, TensorDict):
        return False
    for value in tensordict.values():
        if isinstance(value, TensorDictBase):
            if value.is_empty() or not _is_dense(value):
                return False
        elif not isinstance(value, Tensor):
            return False
    return True
