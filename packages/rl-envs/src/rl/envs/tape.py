"""A tape: the leaves of successive steps, kept by column and stacked once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import itemgetter

import torch
from tensordict import LazyStackedTensorDict, TensorDict, TensorDictBase
from torch import Tensor

from rl.core import RLError

__all__ = ["Tape"]


class Tape:
    """Records one transition per `append` and gives them back as one `[*B, T]` batch.

    Dense data is kept as tuples of leaves and stacked once per leaf: no TensorDict is copied or
    stacked. Ragged or non-tensor data is kept as TensorDicts and takes the slower road.

    What is appended must not be written in place afterwards.

    Args:
        dense: False to return a lazy stack.
    """

    def __init__(self, *, dense: bool = True) -> None:
        self._dense = dense
        self._layout: _Layout | None = None
        self._rows: list[tuple] = []

    def __len__(self) -> int:
        return len(self._rows)

    def append(self, tensordict: TensorDictBase, next_tensordict: TensorDictBase) -> None:
        """Record a root and the content of its "next".

        Raises:
            RLError: the set of keys changed since the first step.
        """
        if not self._rows:
            self._dense = self._dense and _is_dense(tensordict) and _is_dense(next_tensordict)
            if self._dense:
                self._layout = _Layout(tensordict, next_tensordict)
        if self._dense:
            self._rows.append(self._layout.read(tensordict, next_tensordict))
        else:
            row = tensordict.copy()
            self._rows.append((row.set("next", next_tensordict.copy()),))

    def stack(self, out: TensorDictBase | None = None) -> TensorDictBase:
        """Return the batch, with a last batch dim named "time"; the tape is empty afterwards.

        Args:
            out: a dense `[*B, T]` TensorDict to write into, such as the result of an earlier call.

        Raises:
            RLError: nothing was recorded.
        """
        if not self._rows:
            raise RLError("Nothing was recorded: the rollout has no step. Ask for 1 step at least.")
        rows, self._rows = self._rows, []
        layout, self._layout = self._layout, None
        if not self._dense:
            return _stack_tensordicts([row[0] for row in rows])
        batch = layout.build(list(zip(*rows, strict=True)), len(rows), out)
        return _name_time(batch)


class _Layout:
    """Where the leaves of a transition lie: the root, "next", and every nested group of both."""

    def __init__(self, root: TensorDictBase, following: TensorDictBase) -> None:
        self.batch_size = root.batch_size
        self.device = root.device
        self.root = _Node(root, skip=("next",))
        self.next = _Node(following)

    def read(self, root: TensorDictBase, following: TensorDictBase) -> tuple:
        return (*self.root.read(root), *self.next.read(following))

    def build(
        self, columns: list[tuple[Tensor, ...]], steps: int, out: TensorDictBase | None
    ) -> TensorDictBase:
        columns = iter(columns)
        following = None if out is None else out.get("next")
        tree = self.root.build(columns, out)
        tree["next"] = self.next.build(columns, following)
        if out is not None:
            return out
        return TensorDict(tree, batch_size=(*self.batch_size, steps), device=self.device)


class _Node:
    """One TensorDict of the layout: the names of its leaves and of its nested TensorDicts."""

    def __init__(self, tensordict: TensorDictBase, skip: tuple[str, ...] = ()) -> None:
        self.time_dim = tensordict.ndim
        self.batch_size = tensordict.batch_size
        self.device = tensordict.device
        self.skip = skip
        items = [(key, value) for key, value in tensordict.items() if key not in skip]
        self.keys = tuple(key for key, value in items if isinstance(value, Tensor))
        self.nested = [
            (key, _Node(value)) for key, value in items if isinstance(value, TensorDictBase)
        ]
        #: how to read the values of a TensorDict whose keys come in a given order
        self._readers: dict[tuple[str, ...], Callable[[tuple], tuple]] = {}

    def read(self, tensordict: TensorDictBase) -> tuple:
        """Return the leaves, those of nested TensorDicts last."""
        order = tuple(tensordict.keys())
        reader = self._readers.get(order)
        if reader is None:
            reader = self._readers[order] = self._reader(order)
        return reader(tuple(tensordict.values()))

    def _reader(self, order: tuple[str, ...]) -> Callable[[tuple], tuple]:
        found = {key for key in order if key not in self.skip}
        expected = {*self.keys, *(key for key, _ in self.nested)}
        if found != expected:
            raise RLError(
                f"The keys of a step changed during the rollout: new "
                f"{sorted(found - expected)}, missing "
                f"{sorted(expected - found)}. Let the env and the policy write the same "
                "keys at every "
                "step and reset, or pass `return_contiguous=False`."
            )
        place = {key: index for index, key in enumerate(order)}
        leaves = [place[key] for key in self.keys]
        groups = [(place[key], node) for key, node in self.nested]
        if not groups and leaves == list(range(len(order))):
            return _identity
        if not groups:
            return itemgetter(*leaves) if len(leaves) > 1 else lambda row: (row[leaves[0]],)

        def read(row: tuple) -> tuple:
            flat = tuple(row[index] for index in leaves)
            for index, node in groups:
                flat += node.read(row[index])
            return flat

        return read

    def build(self, columns: Iterator[tuple[Tensor, ...]], out: TensorDictBase | None) -> dict:
        tree: dict = {}
        for key in self.keys:
            column = next(columns)
            if out is None:
                tree[key] = torch.stack(column, self.time_dim)
            else:
                torch.stack(column, self.time_dim, out=out.get(key))
        for key, node in self.nested:
            node.time_dim = self.time_dim
            tree[key] = self._nested(key, node, columns, out)
        return tree

    def _nested(
        self,
        key: str,
        node: _Node,
        columns: Iterator[tuple[Tensor, ...]],
        out: TensorDictBase | None,
    ) -> TensorDictBase:
        inner = node.build(columns, None if out is None else out.get(key))
        if out is not None:
            return out.get(key)
        steps = _steps(inner, node.time_dim)
        lead, tail = node.batch_size[: node.time_dim], node.batch_size[node.time_dim :]
        return TensorDict(inner, batch_size=(*lead, steps, *tail), device=node.device)


def _identity(row: tuple) -> tuple:
    return row


def _steps(tree: dict, time_dim: int) -> int:
    for value in tree.values():
        return value.shape[time_dim]
    return 0


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


def _stack_tensordicts(rows: list[TensorDictBase]) -> TensorDictBase:
    return _name_time(LazyStackedTensorDict.lazy_stack(rows, rows[0].ndim))


def _name_time(batch: TensorDictBase) -> TensorDictBase:
    batch.refine_names(..., "time")
    return batch
