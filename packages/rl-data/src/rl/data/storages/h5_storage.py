"""Columns in an HDF5 file."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from tensordict import TensorDict
from torch import Tensor

from rl.core.errors import SpecError
from rl.core.optional import optional
from rl.data.storages.base import Checkpointer, Storage
from rl.data.storages.columns import Columns, analyse, rows_of, tails_of
from rl.data.storages.layout import column_names, layout_of, nest_columns

__all__ = ["H5Storage"]

h5py = optional("h5py", extra="rl-data[h5]")

_FILE = "rows.h5"
#: rows that are copied at a time
_CHUNK = 1024


class H5Storage(Storage):
    """Rows in an HDF5 file, a dataset for each entry, which other programs can read.

    The file is laid out by the first rows. Reading and writing rows in any order is much slower
    than in memory or memory maps; the file may be compressed.

    Args:
        max_size: capacity in rows.
        path: the file, which must not exist; a temporary one, removed at the end, by default.
        compression: of the datasets, as h5py takes it, such as `"lzf"` or `"gzip"`; none by
            default.
        checkpointer: how the rows are saved; as another HDF5 file by default.

    Raises:
        ValueError: `max_size` is not positive.
        FileExistsError: `path` exists.
        SpecError: on writing, a dtype that HDF5 has not.
        MissingDependencyError: h5py is not installed.

    Example:
        >>> storage = H5Storage(10, compression="lzf")
        >>> storage.set(range(3), TensorDict({"x": torch.arange(3)}, [3]))
        >>> storage.get(torch.tensor([2, 0, 2]))["x"]
        tensor([2, 0, 2])
    """

    def __init__(
        self,
        max_size: int,
        *,
        path: str | os.PathLike[str] | None = None,
        compression: str | None = None,
        checkpointer: Checkpointer | None = None,
    ) -> None:
        super().__init__(max_size, checkpointer)
        self.compression = compression
        folder = tempfile.TemporaryDirectory(prefix="rl-buffer-") if path is None else None
        self.path = Path(folder.name, _FILE) if folder is not None else Path(path)
        if self.path.exists():
            raise FileExistsError(
                f"`{self.path}` exists: remove it, or give another `path`. Rows that were saved "
                "with `dumps` are read with `loads`."
            )
        self._file = h5py.File(self.path, "w")
        weakref.finalize(self, _end, self._file, folder)
        # of no memory: it knows containers, shapes and dtypes
        self._template: Columns | None = None
        self._datasets: list[Any] = []

    # ---------------------------------------------------------------- rows

    def set(self, cursor: int | range | slice | Tensor, data: Any) -> None:  # noqa: ANN401
        """Write one row (int) or a batch of rows.

        Raises:
            IndexError: the cursor exceeds the capacity, or would leave a gap.
            MissingKeyError, SpecError, ShapeError: `data` differs from the first rows.
        """
        single = isinstance(cursor, int)
        places = np.array([cursor]) if single else self._places(cursor)
        first, last = int(places.min(initial=self._rows)), int(places.max(initial=-1))
        if first < 0 or last >= self.max_size or first > self._rows:
            raise IndexError(
                f"Rows [{first}, {last}] are out of range: the storage holds {self._rows} of "
                f"{self.max_size} rows."
            )
        template = self._template or self._template_of(data, not single)
        leaves = template.check(data, None if single else len(places))
        if self._template is None:
            self._create(template)
        # the file is written in order, once per row: the last of repeated ones stays
        rows, newest = np.unique(places[::-1], return_index=True)
        for dataset, leaf in zip(self._datasets, leaves, strict=True):
            values = leaf.detach().cpu().numpy()
            values = values[None] if single else values
            dataset[_selection(rows)] = values[len(places) - 1 - newest]
        self._rows = max(self._rows, last + 1)

    def _places(self, index: Any) -> np.ndarray:  # noqa: ANN401
        if isinstance(index, slice):
            return np.arange(self._rows)[index]
        if isinstance(index, range):
            return np.arange(index.start, index.stop, index.step)
        places = np.asarray(index)
        return np.flatnonzero(places) if places.dtype == bool else places.reshape(-1)

    def _template_of(self, data: Any, batched: bool) -> Columns:  # noqa: ANN401
        structure, leaves = analyse(data, batched, 1)
        tails = tails_of(leaves, batched)
        for path, leaf in zip(structure.paths(), leaves, strict=True):
            if leaf.dtype is torch.bfloat16:
                raise SpecError(
                    f"`{'.'.join(path) or 'data'}` has dtype {leaf.dtype}, which HDF5 has not: "
                    "cast it to float32, or use `LazyMemmapStorage`."
                )
        tensors = [
            torch.empty((self.max_size, *tail), dtype=leaf.dtype, device="meta")
            for leaf, tail in zip(leaves, tails, strict=True)
        ]
        return Columns(structure, tensors, 1)

    def _create(self, template: Columns) -> None:
        for name, tensor in zip(_names(template), template.tensors, strict=True):
            dtype = torch.empty(0, dtype=tensor.dtype).numpy().dtype
            shape = tuple(tensor.shape)
            self._datasets.append(
                self._file.create_dataset(
                    name, shape, dtype, chunks=True, compression=self.compression
                )
            )
        self._template = template

    def get(self, index: Any) -> Any:  # noqa: ANN401
        """Return one row (int) or a batch of rows, in memory.

        Raises:
            IndexError: the index is out of range, or nothing was written.
        """
        if self._template is None:
            raise IndexError("The storage is empty: write rows with `extend` first.")
        if isinstance(index, Tensor):
            index = index.cpu().numpy()
        numbers = np.arange(self._rows)[list(index) if isinstance(index, range) else index]
        rows, places = np.unique(numbers, return_inverse=True)
        places = places.reshape(np.shape(numbers))
        leaves = [
            torch.from_numpy(np.asarray(dataset[_selection(rows)])[places])
            if np.ndim(numbers)
            else torch.as_tensor(dataset[int(numbers)])
            for dataset in self._datasets
        ]
        shape = torch.Size(np.shape(numbers))
        return self._template.structure.build(leaves, shape, torch.device("cpu"))

    def rows_of(self, data: Any) -> int:  # noqa: ANN401
        """Return the size of the first dimension."""
        return rows_of(data)

    def empty(self) -> None:
        """Forget every row; the file stays as large as it is."""
        self._rows = 0

    # --------------------------------------------------------------- saving

    def _family(self) -> str:
        return "h5"

    def describe(self) -> dict[str, Any]:
        """Return capacity, rows in use and the layout of the datasets."""
        return {
            "storage": "h5",
            "max_size": self.max_size,
            "rows": self._rows,
            "layout": None if self._template is None else layout_of(self._template),
        }

    def write_rows(self, folder: Path) -> None:
        """Write the rows in use to an HDF5 file, some at a time."""
        folder.mkdir(parents=True, exist_ok=True)
        with h5py.File(folder / _FILE, "w") as file:
            for dataset in self._datasets:
                shape = (self._rows, *dataset.shape[1:])
                copy = file.create_dataset(
                    dataset.name,
                    shape,
                    dataset.dtype,
                    chunks=True if self._rows else None,
                    compression=self.compression if self._rows else None,
                )
                for part in self._parts(self._rows):
                    copy[part] = dataset[part]

    def _parts(self, rows: int) -> Iterator[slice]:
        for start in range(0, rows, _CHUNK):
            yield slice(start, min(start + _CHUNK, rows))

    def check_description(self, described: dict[str, Any]) -> None:
        """Raise unless capacity and, where there are rows, their layout are the saved ones."""
        self._check_capacity(described)
        own, saved = self.describe()["layout"], described["layout"]
        if own is not None and saved is not None and own != saved:
            raise SpecError(
                "The saved rows differ from this storage's in keys, shapes, dtypes or containers. "
                "Load into a new buffer."
            )

    def read_rows(self, folder: Path, described: dict[str, Any]) -> None:
        """Replace the rows with those that `write_rows` wrote."""
        self._rows = 0
        if not described["rows"]:
            return
        layout = described["layout"]
        with h5py.File(folder / _FILE, "r") as file:
            for part in self._parts(described["rows"]):
                rows = TensorDict(batch_size=[part.stop - part.start])
                for path, _, _ in layout["columns"]:
                    values = file["/".join(path) or "data"][part]
                    rows.set(tuple(path) or "data", torch.from_numpy(values))
                self.set(range(part.start, part.stop), nest_columns(rows, layout))

    def state_dict(self) -> dict[str, Any]:
        """Return the rows in use, in memory."""
        rows = None
        if self._template is not None and self._rows:
            rows = TensorDict(batch_size=[self._rows])
            for key, dataset in zip(column_names(self._template), self._datasets, strict=True):
                rows.set(key, torch.from_numpy(dataset[: self._rows]))
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

    def __deepcopy__(self, memo: dict[int, Any]) -> H5Storage:
        """Copy the rows to a temporary file."""
        made = H5Storage(
            self.max_size, compression=self.compression, checkpointer=self.checkpointer
        )
        memo[id(self)] = made
        made.load_state_dict(self.state_dict())
        return made

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "An `H5Storage` has its file open in one process. Use `LazyMemmapStorage` for a buffer "
            "that processes share, or serve this one with `ReplayBufferService`."
        )


def _names(columns: Columns) -> list[str]:
    return ["/".join(path) or "data" for path in columns.structure.paths()]


def _selection(rows: np.ndarray) -> np.ndarray | slice:
    """Return increasing rows as a slice where they follow each other, which is read at once."""
    if rows.size and rows[-1] - rows[0] + 1 == rows.size:
        return slice(int(rows[0]), int(rows[-1]) + 1)
    return rows


def _end(file: Any, folder: tempfile.TemporaryDirectory[str] | None) -> None:  # noqa: ANN401
    file.close()
    if folder is not None:
        folder.cleanup()
