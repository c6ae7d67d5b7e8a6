"""Columns around given tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tensordict import NestedKey, TensorDict
from torch import Tensor

from rl.core.errors import ShapeError, SpecError
from rl.data.storages.base import Checkpointer, Storage
from rl.data.storages.columns import Columns, analyse, rows_of
from rl.data.storages.layout import column_names, layout_of, nest_columns

__all__ = ["TensorStorage"]


class TensorStorage(Storage):
    """Rows of an existing TensorDict, tensor, or nest of dicts and tuples of tensors.

    The storage is full from the start and writes into the tensors it was given.

    Args:
        storage: the rows, `[num_rows, ...]`.
        max_size: capacity in elements, the number given by default.
        device: moved there if given.
        ndim: number of leading dimensions that number elements: `storage` of shape `[T, B]` holds
            `T` elements with `ndim=1` and `T * B` with `ndim=2`.
        checkpointer: how the rows are saved, as memory maps by default.

    Raises:
        ShapeError: the leaves differ in their leading dimensions.
        SpecError: a leaf is not a tensor.

    Example:
        >>> storage = TensorStorage(TensorDict({"x": torch.arange(3)}, [3]))
        >>> storage.get(torch.tensor([2, 0]))["x"]
        tensor([2, 0])
    """

    def __init__(
        self,
        storage: Any,  # noqa: ANN401
        max_size: int | None = None,
        *,
        device: str | torch.device | None = None,
        ndim: int = 1,
        checkpointer: Checkpointer | None = None,
    ) -> None:
        structure, leaves = analyse(storage, True, ndim)
        if device not in (None, "auto"):
            leaves = [leaf.to(device) for leaf in leaves]
        elements = leaves[0].shape[:ndim].numel()
        if max_size is not None and max_size != elements:
            raise ShapeError(
                f"`max_size` is {max_size}, the given rows are {elements}. Leave `max_size` out, "
                "or use `LazyTensorStorage(max_size)` and extend it."
            )
        super().__init__(elements, checkpointer)
        self.ndim = ndim
        self.device = leaves[0].device
        self._columns: Columns | None = Columns(
            structure, [leaf.detach().contiguous() for leaf in leaves], ndim
        )
        self._rows = leaves[0].shape[0]

    # ---------------------------------------------------------------- rows

    @property
    def initialized(self) -> bool:
        """Whether the columns exist."""
        return self._columns is not None

    @property
    def columns(self) -> Columns | None:
        """The columns; None before the first rows are written."""
        return self._columns

    @columns.setter
    def columns(self, columns: Columns) -> None:
        self._columns = columns

    def set_num_rows(self, rows: int) -> None:
        """Take the number of rows in use from a process that shares the columns."""
        self._rows = rows

    @property
    def inner_shape(self) -> torch.Size:
        """Size of the dimensions after the first that samplers see."""
        return torch.Size([]) if self._columns is None else self._columns.inner

    @property
    def inner_size(self) -> int:
        """Number of elements in a row."""
        return self.inner_shape.numel() if self.ndim > 1 else 1

    @property
    def shape(self) -> torch.Size:
        """Rows in use and inner dimensions."""
        return torch.Size([self._rows, *self.inner_shape])

    def set(self, cursor: int | range | Tensor, data: Any) -> None:  # noqa: ANN401
        """Write one row (int) or a batch of rows.

        Raises:
            IndexError: the cursor exceeds the capacity, or would leave a gap.
            MissingKeyError, SpecError, ShapeError: `data` differs from the first rows.
        """
        last, first, count = _span(cursor)
        capacity = self.max_rows if self._columns is not None else self.max_size
        if first < 0 or last >= capacity or first > self._rows:
            raise IndexError(
                f"Rows [{first}, {last}] are out of range: the storage holds {self._rows} of "
                f"{capacity} rows."
            )
        if self._columns is None:
            columns = self._allocate(data, count is not None)
            if last >= columns.tensors[0].shape[0]:
                raise IndexError(
                    f"Row {last} exceeds a capacity of {len(columns.tensors[0])} rows."
                )
        else:
            columns = self._columns
        leaves = columns.check(data, count)
        self._columns = columns
        columns.write(cursor, leaves)
        if last >= self._rows:
            self._rows = last + 1

    def get(self, index: Any) -> Any:  # noqa: ANN401
        """Return rows.

        Args:
            index: an int64 tensor of element numbers as samplers draw them (the fast road), a tuple
                of such tensors when `ndim > 1`, or anything that indexes a tensor.
        """
        columns = self._filled()
        if isinstance(index, Tensor) and index.ndim == 1 and index.dtype is torch.int64:
            if self.ndim == 1:
                return columns.gather(index)
        elif self.ndim > 1 and _is_coordinates(index, self.ndim):
            return columns.gather(self.ravel(index))
        return columns.view(index, self._rows)

    def entry(self, key: NestedKey, index: Tensor) -> Tensor | None:
        """Return one entry of elements, reading no other."""
        return self._filled().entry((key,) if isinstance(key, str) else key, index)

    def __getitem__(self, index: Any) -> Any:  # noqa: ANN401
        if isinstance(index, range):
            index = list(index)
        return self._filled().view(index, self._rows)

    def __setitem__(self, index: Any, data: Any) -> None:  # noqa: ANN401
        columns = self._filled()
        target = columns.view(index, self._rows)
        leaves = columns.structure.flatten(data)
        expected = columns.structure.flatten(target)
        for path, leaf, wanted in zip(columns.structure.paths(), leaves, expected, strict=True):
            if leaf.shape != wanted.shape or leaf.dtype != wanted.dtype:
                raise ShapeError(
                    f"`{'.'.join(path) or 'data'}` has shape {list(leaf.shape)} and dtype "
                    f"{leaf.dtype}, expected {list(wanted.shape)} and {wanted.dtype}: give as many "
                    "rows as are replaced, like those of the storage."
                )
        for tensor, leaf in zip(columns.tensors, leaves, strict=True):
            tensor[: self._rows][index] = leaf.detach().to(tensor.device)

    def rows_of(self, data: Any) -> int:  # noqa: ANN401
        """Return the size of the first dimension."""
        return rows_of(data)

    def empty(self) -> None:
        """Forget every row; the columns stay allocated."""
        self._rows = 0

    def _filled(self) -> Columns:
        if self._columns is None:
            raise IndexError("The storage is empty: write rows with `extend` first.")
        return self._columns

    def _allocate(self, data: Any, batched: bool) -> Columns:  # noqa: ANN401
        raise SpecError("A `TensorStorage` is allocated by its constructor.")

    # --------------------------------------------------------------- saving

    def describe(self) -> dict[str, Any]:
        """Return capacity, rows in use and the layout of the columns."""
        return {
            "storage": "tensor",
            "max_size": self.max_size,
            "ndim": self.ndim,
            "rows": self._rows,
            "layout": None if self._columns is None else layout_of(self._columns),
        }

    def write_rows(self, folder: Path) -> None:
        """Write the rows in use as the memory maps of a TensorDict (`TensorDict.load_memmap`)."""
        if self._columns is None or not self._rows:
            return
        self._snapshot().memmap(str(folder), copy_existing=True)

    def check_description(self, described: dict[str, Any]) -> None:
        """Raise unless capacity and, where there are columns, their layout are the saved ones."""
        self._check_capacity(described)
        if described["ndim"] != self.ndim:
            raise SpecError(
                f"The saved storage has ndim={described['ndim']}, this one ndim={self.ndim}."
            )
        if self._columns is None or described["layout"] is None:
            return
        own = layout_of(self._columns)
        if described["layout"] != own:
            differ = [c for c in described["layout"]["columns"] if c not in own["columns"]]
            differ += [c for c in own["columns"] if c not in described["layout"]["columns"]]
            raise SpecError(
                f"The saved rows differ from this storage's in {differ or 'their containers'}. "
                "Load into a new buffer."
            )

    def read_rows(self, folder: Path, described: dict[str, Any]) -> None:
        """Replace the rows with those that `write_rows` wrote."""
        self._rows = 0
        if described["rows"]:
            saved = TensorDict.load_memmap(str(folder))
            self.set(range(described["rows"]), nest_columns(saved, described["layout"]))

    def state_dict(self) -> dict[str, Any]:
        """Return the rows in use, sharing memory with the storage, and their layout."""
        rows = self._snapshot() if self._columns is not None and self._rows else None
        return {**self.describe(), "_storage": rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Copy the rows of a `state_dict` in.

        Raises:
            SpecError: the state is of another kind of storage, capacity or layout.
        """
        self.check_description(state_dict)
        self._rows = 0
        if state_dict["rows"]:
            rows = nest_columns(state_dict["_storage"], state_dict["layout"])
            self.set(range(state_dict["rows"]), rows)

    def _snapshot(self) -> TensorDict:
        columns = self._filled()
        result = TensorDict({}, batch_size=[self._rows])
        for name, tensor in zip(column_names(columns), columns.tensors, strict=True):
            result[name] = tensor[: self._rows]
        return result


def _span(cursor: int | range | Tensor) -> tuple[int, int, int | None]:
    """Return last row, first row and number of rows (None for one row) of a cursor."""
    if isinstance(cursor, range):
        return cursor.stop - 1, cursor.start, len(cursor)
    if isinstance(cursor, int):
        return cursor, cursor, None
    return int(cursor.max()), int(cursor.min()), len(cursor)


def _is_coordinates(index: Any, ndim: int) -> bool:  # noqa: ANN401
    return (
        isinstance(index, tuple)
        and len(index) == ndim
        and all(isinstance(part, Tensor) and part.ndim == 1 for part in index)
    )
