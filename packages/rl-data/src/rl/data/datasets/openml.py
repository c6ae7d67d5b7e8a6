"""OpenML: tables for contextual bandits, such as those of the UCI repository."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from rl.core.errors import NotRegisteredError, nearest
from rl.data.datasets.arff import ArffColumn, read_arff
from rl.data.datasets.base import BaseDatasetExperienceReplay
from rl.data.datasets.columns import ColumnWriter
from rl.data.datasets.download import RemoteFile, fetch_json
from rl.data.datasets.error import DatasetError
from rl.data.samplers.base import Sampler
from rl.data.storages.tensor_storage import TensorStorage
from rl.data.writers.base import Writer

__all__ = ["OpenMLExperienceReplay"]


@dataclass(frozen=True)
class _Table:
    """A table of OpenML and how it becomes numbers."""

    number: int
    target: str
    one_hot: bool = False


_TABLES = {
    "adult_num": _Table(1590, "class"),
    "adult_onehot": _Table(1590, "class", one_hot=True),
    "covertype": _Table(1596, "class"),
    "magic": _Table(1120, "class:"),
    "mushroom_num": _Table(24, "class"),
    "mushroom_onehot": _Table(24, "class", one_hot=True),
    "shuttle": _Table(40685, "class"),
}


class OpenMLExperienceReplay(BaseDatasetExperienceReplay):
    r"""A table of OpenML: contexts `X` and classes `y`.

    Numbers stay numbers. Categories become their number, or, in the names that end in `_onehot`,
    one column per category, and the numbers are then standardised. Rows with a missing value are
    left out, except for missing categories in one-hot columns, which are all zero.

    Args:
        name: one of `available_datasets`.
        batch_size: size of a batch.
        root: folder of the datasets; an ARFF file put under `root/<name>/raw/` is used in place of
            a download.
        sampler: which rows make a batch, random ones by default.
        writer: an `ImmutableDatasetWriter` by default.
        collate_fn: applied to batches.
        pin_memory: whether batches are put in pinned memory.
        prefetch: number of batches prepared ahead.
        transform: applied to batches.

    Raises:
        NotRegisteredError: there is no such name; the message suggests the nearest.
        DatasetError: the table cannot be downloaded or is damaged.

    Writes:
        X: [n, features] float32.
        y: [n] int64, number of the class.

    Example:
        >>> import tempfile
        >>> raw = Path(tempfile.mkdtemp()) / "magic" / "raw"
        >>> raw.mkdir(parents=True)
        >>> table = "@attribute a real\n@attribute class: {g, h}\n@data\n1, g\n2, h"
        >>> _ = (raw / "magic.arff").write_text(table)
        >>> data = OpenMLExperienceReplay("magic", 2, root=raw.parents[1])
        >>> data[:]["X"].tolist(), data[:]["y"].tolist(), data.metadata["classes"]
        ([[1.0], [2.0]], [0, 1], ['g', 'h'])
    """

    source: ClassVar[str] = "openml"
    base_url: ClassVar[str] = "https://www.openml.org"
    available_datasets: ClassVar[tuple[str, ...]] = tuple(_TABLES)

    def __init__(  # noqa: PLR0913
        self,
        name: str,
        batch_size: int | None = None,
        root: str | os.PathLike[str] | None = None,
        sampler: Sampler | None = None,
        writer: Writer | None = None,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        prefetch: int | None = None,
        transform: Any = None,  # noqa: ANN401 (a transform, module or function)
    ) -> None:
        if name not in _TABLES:
            raise NotRegisteredError(
                f"OpenML's table `{name}` is unknown. {nearest(name, _TABLES)}"
            )
        self._table = _TABLES[name]
        rows = self._obtain(name, root, True)
        super().__init__(
            storage=TensorStorage(rows),
            batch_size=batch_size,
            sampler=sampler,
            writer=writer,
            collate_fn=collate_fn,
            pin_memory=pin_memory,
            prefetch=prefetch,
            transform=transform,
        )

    def _remote_files(self) -> list[RemoteFile]:
        address = f"{self.base_url}/api/v1/json/data/{self._table.number}"
        told = fetch_json(address).get("data_set_description", {})
        if "url" not in told:
            raise DatasetError(f"`{address}` does not tell where the table is.")
        digest = told.get("md5_checksum")
        return [
            RemoteFile(
                told["url"],
                f"{self.dataset_id}.arff",
                digest=None if digest is None else f"md5:{digest}",
            )
        ]

    def _convert(self, files: list[Path], writer: ColumnWriter) -> None:
        (file,) = files if len(files) == 1 else (None,)
        if file is None:
            raise DatasetError(
                f"`{self.data_path / 'raw'}` holds {len(files)} files, expected one."
            )
        columns = read_arff(file.read_text(encoding="utf-8"), f"`{file}`")
        target = [column for column in columns if column.name == self._table.target]
        if not target:
            raise DatasetError(
                f"`{file}` lacks the column `{self._table.target}`; it has "
                f"{[column.name for column in columns]}."
            )
        others = [column for column in columns if column is not target[0]]
        keep = target[0].values >= 0 if target[0].categories else ~np.isnan(target[0].values)
        features = [_features(column, self._table.one_hot) for column in others]
        keep &= ~np.isnan(np.concatenate(features, 1)).any(1)
        x = np.concatenate([part[keep] for part in features], 1)
        if self._table.one_hot:
            x = _standardised(x, others)
        y, classes = _classes(target[0], keep)
        writer.metadata = {"classes": classes, "columns": [column.name for column in others]}
        writer.append({"X": x.astype(np.float32), "y": y})


def _features(column: ArffColumn, one_hot: bool) -> np.ndarray:
    if column.categories is None:
        return column.values[:, None]
    if one_hot:
        return (column.values[:, None] == np.arange(len(column.categories))).astype(np.float64)
    return np.where(column.values < 0, np.nan, column.values)[:, None]


def _standardised(x: np.ndarray, columns: list[ArffColumn]) -> np.ndarray:
    start = 0
    for column in columns:
        if column.categories is None:
            numbers = x[:, start]
            x[:, start] = (numbers - numbers.mean()) / max(numbers.std(), 1e-12)
        start += 1 if column.categories is None else len(column.categories)
    return x


def _classes(column: ArffColumn, keep: np.ndarray) -> tuple[np.ndarray, list[str]]:
    if column.categories is not None:
        return column.values[keep], column.categories
    found, codes = np.unique(column.values[keep], return_inverse=True)
    return codes.astype(np.int64), [f"{value:g}" for value in found]
