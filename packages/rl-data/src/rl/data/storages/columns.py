"""Rows as columns: one preallocated tensor per leaf, and the plan that reads and writes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from tensordict import is_tensor_collection
from torch import Tensor

from rl.core.errors import ShapeError, SpecError
from rl.data.storages.structure import Structure

__all__ = ["Columns"]


class Columns:
    """The tensors of a storage, `[rows, *inner, *feature]` each, and the structure of a row.

    The plan (key order, numpy views, expected shapes) is made here once; `gather`, `check` and
    `write` follow it.

    Args:
        structure: the containers around the leaves.
        tensors: one per leaf, contiguous.
        row_dims: 1 plus the number of inner dimensions.

    Example:
        >>> data = {"x": torch.arange(4.0)}
        >>> columns = Columns(Structure.of(data), [data["x"]], 1)
        >>> columns.gather(torch.tensor([3, 0]))
        {'x': tensor([3., 0.])}
    """

    def __init__(self, structure: Structure, tensors: list[Tensor], row_dims: int) -> None:
        self.structure = structure
        self.tensors = tensors
        self.inner = tensors[0].shape[1:row_dims]
        self.device = tensors[0].device
        self._row_dims = row_dims
        self.inner_dims = row_dims - 1
        self._tails = [tensor.shape[1:] for tensor in tensors]
        self._flat = [t if row_dims == 1 else t.flatten(0, row_dims - 1) for t in tensors]
        # numpy gathers rows two to three times as fast as torch; it lacks bfloat16
        self._arrays = [_as_numpy(tensor) for tensor in self._flat]
        self._all_arrays = all(array is not None for array in self._arrays)
        self._places = {path: place for place, path in enumerate(structure.paths())}

    def __reduce__(self) -> tuple[type[Columns], tuple[Structure, list[Tensor], int]]:
        # the numpy views are made anew: they would be copies of their own
        return Columns, (self.structure, self.tensors, self._row_dims)

    @classmethod
    def allocate(
        cls,
        rows: Any,  # noqa: ANN401
        batched: bool,
        max_rows: int,
        ndim: int,
        device: torch.device | None,
    ) -> Columns:
        """Return zeroed columns for `max_rows` rows like those given.

        Args:
            rows: one row, or a batch of rows.
            batched: whether `rows` has a leading row dimension.
            max_rows: capacity along the first dimension.
            ndim: number of row dimensions, the inner ones included.
            device: where to allocate; the device of the rows if None.
        """
        structure, leaves = analyse(rows, batched, ndim)
        tensors = [
            _zeros((max_rows, *tail), leaf.dtype, device or leaf.device)
            for leaf, tail in zip(leaves, tails_of(leaves, batched), strict=True)
        ]
        return cls(structure, tensors, ndim)

    # --------------------------------------------------------------- reading

    def gather(self, index: Tensor) -> Any:  # noqa: ANN401
        """Return the elements under numbers `index`, a one-dimensional int64 tensor, as a batch.

        Numbers are not checked against the rows in use, only against the allocation.
        """
        if self._all_arrays and index.device.type == "cpu":
            position = index.numpy()
            leaves = [torch.from_numpy(array.take(position, 0)) for array in self._arrays]
        else:
            index = index.to(self.device)
            leaves = [flat.index_select(0, index) for flat in self._flat]
        return self.structure.build(leaves, index.shape, self.device)

    def entry(self, path: tuple[str, ...], index: Tensor) -> Tensor | None:
        """Return one leaf of the elements under numbers `index`, None if there is no such leaf."""
        place = self._places.get(path)
        if place is None:
            return None
        array = self._arrays[place]
        if array is not None and index.device.type == "cpu":
            return torch.from_numpy(array.take(index.numpy(), 0))
        return self._flat[place].index_select(0, index.to(self.device))

    def view(self, index: Any, num_rows: int) -> Any:  # noqa: ANN401
        """Return `columns[:num_rows][index]` for any index that a tensor takes.

        Raises:
            IndexError: the index lies outside of the rows in use.
        """
        leaves = [tensor[:num_rows][index] for tensor in self.tensors]
        tail = self.tensors[0].ndim - self._row_dims
        shape = leaves[0].shape
        return self.structure.build(leaves, shape[: len(shape) - tail], self.device)

    # --------------------------------------------------------------- writing

    def check(self, data: Any, num_rows: int | None) -> list[Tensor]:  # noqa: ANN401
        """Return the leaves of `data`, `num_rows` rows (None: one row without batch dimension).

        Raises:
            MissingKeyError: a key is missing.
            SpecError: a key is unknown, or a dtype differs.
            ShapeError: a shape differs.
        """
        leaves = self.structure.flatten(data)
        lead = () if num_rows is None else (num_rows,)
        for leaf, tensor, tail in zip(leaves, self.tensors, self._tails, strict=True):
            shape = leaf.shape
            if (shape if num_rows is None else shape[1:]) != tail or leaf.dtype != tensor.dtype:
                self._explain(leaves, lead)
            if num_rows is not None and shape[0] != num_rows:
                self._explain(leaves, lead)
        return leaves

    def write(self, cursor: int | range | Tensor, leaves: list[Tensor]) -> None:
        """Write checked leaves at a row, at consecutive rows, or at rows in any order."""
        with torch.no_grad():
            if isinstance(cursor, range):
                for tensor, leaf in zip(self.tensors, leaves, strict=True):
                    tensor[cursor.start : cursor.stop] = leaf
                return
            if isinstance(cursor, Tensor):
                cursor = cursor.to(self.device)
            for tensor, leaf in zip(self.tensors, leaves, strict=True):
                # `copy_` moves between devices, which an indexed assignment does not
                tensor[cursor] = leaf.to(tensor.device)

    def _explain(self, leaves: list[Tensor], lead: tuple[int, ...]) -> None:
        for path, leaf, tensor, tail in zip(
            self.structure.paths(), leaves, self.tensors, self._tails, strict=True
        ):
            name = ".".join(path) or "data"
            expected = [*lead, *tail]
            if list(leaf.shape) != expected:
                raise ShapeError(
                    f"`{name}` has shape {list(leaf.shape)}, expected {expected}: the storage took "
                    "its shape from the first rows. Reshape it, or build a new storage."
                )
            if leaf.dtype != tensor.dtype:
                cast = str(tensor.dtype).removeprefix("torch.")
                raise SpecError(
                    f"`{name}` has dtype {leaf.dtype}, expected {tensor.dtype} as in the first "
                    f"rows. Cast it with `.to(torch.{cast})`."
                )


def analyse(rows: Any, batched: bool, ndim: int) -> tuple[Structure, list[Tensor]]:  # noqa: ANN401
    """Return structure and leaves of first rows.

    Raises:
        SpecError: there is no tensor in them.
        ShapeError: a leaf has fewer dimensions than the storage has row dimensions, or the leaves
            differ in those.
    """
    row_dims = ndim if batched else ndim - 1
    structure = Structure.of(rows, (), row_dims)
    leaves = structure.flatten(rows)
    if not leaves:
        raise SpecError("The first rows hold no tensor. Write at least one key.")
    lead = leaves[0].shape[:row_dims]
    for path, leaf in zip(structure.paths(), leaves, strict=True):
        if leaf.ndim < row_dims or leaf.shape[:row_dims] != lead:
            raise ShapeError(
                f"`{'.'.join(path) or 'data'}` has shape {list(leaf.shape)}, expected it to start "
                f"with {list(lead)}: a storage with ndim={ndim} numbers {row_dims} dimensions."
            )
    return structure, leaves


def rows_of(data: Any) -> int:  # noqa: ANN401
    """Return how many rows a batch of tensors holds: the size of the first dimension.

    Raises:
        ShapeError: there is no such dimension.
        SpecError: there are no tensors.
    """
    if is_tensor_collection(data) or isinstance(data, Tensor):
        if not data.shape:
            raise ShapeError(
                "`extend` needs a batch of rows, got one without a batch dimension: use `add`."
            )
        return data.shape[0]
    if isinstance(data, Mapping) and data:
        return rows_of(next(iter(data.values())))
    if isinstance(data, tuple | list) and data:
        return rows_of(data[0])
    raise SpecError(
        f"A tensor storage takes TensorDicts, tensors, dicts or tuples of tensors, got a "
        f"{type(data).__qualname__}. Use `ListStorage` for other items."
    )


def tails_of(leaves: list[Tensor], batched: bool) -> list[torch.Size]:
    """Return the shapes of the leaves without the row dimension."""
    return [leaf.shape[1:] if batched else leaf.shape for leaf in leaves]


def _zeros(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    empty = torch.empty(0, dtype=dtype)
    if device.type == "cpu" and _as_numpy(empty) is not None:
        # numpy asks for huge pages, which makes scattered reads of large columns a third faster
        return torch.from_numpy(np.zeros(shape, empty.numpy().dtype))
    return torch.zeros(shape, dtype=dtype, device=device)


def _as_numpy(tensor: Tensor) -> np.ndarray | None:
    if tensor.device.type != "cpu":
        return None
    try:
        return tensor.numpy()
    except TypeError:
        return None
