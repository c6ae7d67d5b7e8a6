"""Writing back to rows only while they are still the rows that were read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from tensordict import TensorDictBase, is_tensor_collection
from tensordict.utils import NestedKey
from torch import Tensor

from rl.core.errors import MissingKeyError, ShapeError, SpecError, nearest
from rl.data.storages.base import Storage
from rl.data.storages.tensor_storage import TensorStorage
from rl.data.writers.base import Writer

__all__ = ["ConditionalUpdateResult", "conditional_update"]


@dataclass(frozen=True)
class ConditionalUpdateResult:
    """What became of each row of `ReplayBuffer.update_if_present`.

    Attributes:
        updated: [n] bool, whether the row was there and was written.
        version_rejected: [n] bool, whether it was there and had a version that won; None if no
            versions were compared. Rows in neither mask are stale: replaced or emptied.

    Example:
        >>> result = ConditionalUpdateResult(torch.tensor([True, False, True]))
        >>> result.updated_count, result.stale_count, result.version_rejected_count
        (2, 1, 0)
    """

    updated: Tensor
    version_rejected: Tensor | None = None

    @property
    def updated_count(self) -> int:
        """Number of rows that were written."""
        return int(self.updated.sum())

    @property
    def version_rejected_count(self) -> int:
        """Number of rows whose own version won."""
        return 0 if self.version_rejected is None else int(self.version_rejected.sum())

    @property
    def stale_count(self) -> int:
        """Number of rows that were replaced or emptied."""
        return self.updated.numel() - self.updated_count - self.version_rejected_count


def conditional_update(
    storage: Storage,
    writer: Writer,
    index: Tensor,
    generation: Tensor,
    patch: Mapping[Any, Tensor] | TensorDictBase,
    *,
    version_key: NestedKey | None = None,
    version: int | Tensor | None = None,
    require_newer: bool = False,
) -> ConditionalUpdateResult:
    """Write `patch` to the rows of `index` that still have their `generation`.

    See `ReplayBuffer.update_if_present`. Everything is checked before anything is written.
    """
    if not isinstance(storage, TensorStorage) or storage.columns is None:
        raise SpecError(
            f"Rows of {storage!r} cannot be updated in part. Use a tensor storage, and write first."
        )
    if (version_key is None) != (version is None):
        raise ValueError("Pass `version_key` and `version` together.")
    elements = storage.ravel(index).reshape(-1)
    generation = torch.as_tensor(generation).reshape(-1)
    if generation.shape != elements.shape:
        raise ShapeError(
            f"`generation` has {len(generation)} entries, `index` names {len(elements)} elements. "
            "Pass both as the sample has them."
        )
    columns = _flat_columns(storage)
    values = _checked_patch(columns, patch, len(elements))
    live = (elements >= 0) & (elements < len(storage))
    places = index.reshape(len(elements), -1) if storage.ndim > 1 else elements
    live[live.clone()] = writer.generations_of(places[live]) == generation[live]
    rejected = None
    wins = live
    if version_key is not None:
        key = _path(version_key)
        if key in values:
            raise ValueError(f"`version_key` {version_key!r} is also in the patch; leave it out.")
        stored = _version_column(columns, key)
        incoming = torch.as_tensor(version).to(stored.dtype).expand(len(elements))
        wins = live & _wins(stored, elements, incoming, live, require_newer=require_newer)
        rejected = live & ~wins
        values[key] = incoming.reshape(-1, *columns[key].shape[1:])
    last = wins & _is_last(elements, wins)
    for key, value in values.items():
        column = columns[key]
        column[elements[last].to(column.device)] = value[last].to(column.device)
    return ConditionalUpdateResult(wins, rejected)


def _flat_columns(storage: TensorStorage) -> dict[tuple[str, ...], Tensor]:
    columns = storage.columns
    paths, inner = columns.structure.paths(), columns.inner_dims
    return {
        path: tensor.flatten(0, inner) for path, tensor in zip(paths, columns.tensors, strict=True)
    }


def _checked_patch(
    columns: dict[tuple[str, ...], Tensor],
    patch: Any,  # noqa: ANN401
    count: int,
) -> dict[tuple[str, ...], Tensor]:
    items = patch.items(True, True) if is_tensor_collection(patch) else patch.items()
    values = {_path(key): torch.as_tensor(value) for key, value in items}
    names = [".".join(path) for path in columns]
    for path, value in values.items():
        name = ".".join(path)
        if path not in columns:
            raise MissingKeyError(f"`{name}` is not in the storage. {nearest(name, names)}")
        expected = [count, *columns[path].shape[1:]]
        if list(value.shape) != expected:
            raise ShapeError(
                f"`{name}` of the patch has shape {list(value.shape)}, expected {expected}."
            )
        if value.dtype != columns[path].dtype:
            raise SpecError(
                f"`{name}` of the patch has dtype {value.dtype}, expected {columns[path].dtype}."
            )
    return values


def _path(key: NestedKey) -> tuple[str, ...]:
    return (key,) if isinstance(key, str) else tuple(key)


def _version_column(columns: dict[tuple[str, ...], Tensor], key: tuple[str, ...]) -> Tensor:
    if key not in columns:
        names = [".".join(path) for path in columns]
        raise MissingKeyError(
            f"`version_key` {'.'.join(key)!r} is not in the storage. "
            f"{nearest('.'.join(key), names)}"
        )
    column = columns[key]
    if column[:1].numel() != 1:
        raise ShapeError(
            f"`version_key` {'.'.join(key)!r} has shape {list(column.shape[1:])} per row, expected "
            "one number."
        )
    return column.reshape(-1).cpu()


def _wins(
    stored: Tensor, elements: Tensor, incoming: Tensor, live: Tensor, *, require_newer: bool
) -> Tensor:
    """Return which rows carry a version that is accepted; one per element, the last of the best."""
    wins = torch.zeros(len(elements), dtype=torch.bool)
    best: dict[int, int] = {}
    for place in live.nonzero()[:, 0].tolist():
        element = int(elements[place])
        new, old = incoming[place], stored[element]
        if not (new > old if require_newer else new >= old):
            continue
        if element not in best or new >= incoming[best[element]]:
            best[element] = place
    wins[list(best.values())] = True
    return wins


def _is_last(elements: Tensor, among: Tensor) -> Tensor:
    """Return which entries are the last of their element, so that later writes win."""
    places = {int(elements[p]): p for p in among.nonzero()[:, 0].tolist()}
    last = torch.zeros(len(elements), dtype=torch.bool)
    last[list(places.values())] = True
    return last
