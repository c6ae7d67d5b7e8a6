"""The base of datasets: a buffer that is read only, over rows that are mapped from disk."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from tensordict import NonTensorStack, TensorDictBase
from tensordict.utils import NestedKey

from rl.data.buffers.tensordict_buffer import TensorDictReplayBuffer
from rl.data.datasets.columns import ColumnWriter, Converted, is_converted, open_converted
from rl.data.datasets.download import RemoteFile, download
from rl.data.datasets.error import DatasetError, DatasetNotFoundError
from rl.data.datasets.padding import pad_trajectories
from rl.data.datasets.preprocessing import preprocess_rows
from rl.data.storages.base import Storage
from rl.data.storages.tensor_storage import TensorStorage
from rl.data.writers.base import Writer
from rl.data.writers.immutable import ImmutableDatasetWriter

__all__ = ["BaseDatasetExperienceReplay"]


class BaseDatasetExperienceReplay(TensorDictReplayBuffer):
    """A dataset as a buffer: sampled like any other, not written.

    A dataset lives in the folder `data_path`, which is `root/<dataset_id>`:

    - `rows/` holds the transitions as memory maps, converted once from the source's files. Loading
      them copies nothing; a damaged conversion is noticed and made anew (an error with
      `download=False`).
    - `raw/` may hold the source's own files, put there by hand: they are converted in place of a
      download, anew when they change, and stay.
    - `download/` holds files on their way; a download that was cut off goes on there.

    A new source subclasses this: it sets `source`, writes `_remote_files` and `_convert`, and calls
    `_obtain` before the constructor of the base.

    Args:
        priority_key: see `TensorDictReplayBuffer`.
        kwargs: see `ReplayBuffer`; the writer is an `ImmutableDatasetWriter` by default.

    Attributes:
        available_datasets: names that the source is known to have, empty if any name goes.
        source: short name of the source, the prefix of `load_dataset`.
        dataset_id: name of the dataset.
        metadata: what the source tells about the dataset.

    Example:
        >>> import tempfile, torch
        >>> class Numbers(BaseDatasetExperienceReplay):
        ...     source = "numbers"
        ...
        ...     def __init__(self, dataset_id, batch_size=None, *, root=None, download=True):
        ...         rows = self._obtain(dataset_id, root, download)
        ...         super().__init__(storage=TensorStorage(rows), batch_size=batch_size)
        ...
        ...     def _remote_files(self):
        ...         return []
        ...
        ...     def _convert(self, files, writer):
        ...         writer.append({"x": torch.arange(5.0)})
        >>> data = Numbers("five", 2, root=tempfile.mkdtemp())
        >>> len(data), data[:]["x"].sum().item(), data.data_path.name
        (5, 10.0, 'five')
    """

    source: ClassVar[str] = ""
    available_datasets: ClassVar[Sequence[str]] = ()

    dataset_id: str
    metadata: dict[str, Any]
    _converted: Converted | None = None
    _root: Path
    # of padded trajectories, if rows are those
    _length: int | None = None
    # conversions with other options lie side by side
    _variant: str = ""

    def __init__(self, *, priority_key: NestedKey = "td_error", **kwargs: Any) -> None:
        super().__init__(priority_key=priority_key, **kwargs)

    def _default_writer(self) -> Callable[[], Writer]:
        return ImmutableDatasetWriter

    # ----------------------------------------------------------------- folders

    @property
    def data_path_root(self) -> Path:
        """The folder of all datasets of the source."""
        return self._root

    @property
    def data_path(self) -> Path:
        """The folder of the dataset."""
        return self._root / self.dataset_id

    def delete(self) -> None:
        """Remove the folder of the dataset: conversion, downloads and `raw/`.

        The buffer goes on working where the system keeps mapped files (not on Windows).
        """
        shutil.rmtree(self.data_path, ignore_errors=True)

    def verify(self) -> None:
        """Compare every converted file with its hash; loading does so for files up to 64 MiB.

        Raises:
            DatasetError: a file is damaged; the message names it and the fix.
        """
        if self._converted is not None:
            self._converted.verify()

    # -------------------------------------------------------------- conversion

    def _remote_files(self) -> Sequence[RemoteFile]:
        """Return what has to be downloaded."""
        raise NotImplementedError

    def _convert(self, files: list[Path], writer: ColumnWriter) -> None:
        """Read the source's files and append their transitions, episode after episode."""
        raise NotImplementedError

    def _obtain(
        self,
        dataset_id: str,
        root: str | os.PathLike[str] | None,
        download: bool | str,
        split_trajs: bool = False,
    ) -> TensorDictBase:
        """Settle the folders and return the rows, converted if need be."""
        if download not in (True, False, "force"):
            raise ValueError(f"`download` is {download!r}, expected True, False or 'force'.")
        self._place(dataset_id, root)
        folder = self.data_path / f"rows{self._variant}"
        padded = self.data_path / f"trajectories{self._variant}"
        local = self._local_files()
        origin = _fingerprint(local)
        converted = None if download == "force" else _opened(folder, bool(download))
        if converted is None or (local and converted.origin != origin):
            shutil.rmtree(padded, ignore_errors=True)
            self._make(folder, local, download, origin)
            converted = open_converted(folder)
        if split_trajs:
            base, converted = converted, _opened(padded, True)
            if converted is None:
                pad_trajectories(base, padded)
                converted = open_converted(padded)
            self._length = converted.rows["mask"].shape[1]
        self._converted = converted
        self.metadata = converted.metadata
        return converted.rows

    def _place(self, dataset_id: str, root: str | os.PathLike[str] | None) -> None:
        """Settle the folders."""
        self.dataset_id = dataset_id
        self._root = _default_root(self.source) if root is None else Path(root)
        if not self.data_path.resolve().is_relative_to(self._root.resolve()):
            raise ValueError(f"The dataset id `{dataset_id}` leads out of `{self._root}`.")

    def _local_files(self) -> list[Path]:
        """Return the source's files that are on this machine, to be used in place of a download."""
        raw = self.data_path / "raw"
        return sorted(path for path in raw.rglob("*") if path.is_file())

    def _make(
        self, folder: Path, local: list[Path], download: bool | str, origin: dict[str, Any]
    ) -> None:
        with ColumnWriter(folder) as writer:
            writer.origin = origin
            self._convert(local or self._fetch_files(bool(download)), writer)
        shutil.rmtree(self.data_path / "download", ignore_errors=True)

    def _fetch_files(self, allowed: bool) -> list[Path]:
        if not allowed:
            raise DatasetNotFoundError(
                f"`{self.data_path}` holds no converted dataset, and `download=False`. Pass "
                f"`download=True`, or put the source's files into `{self.data_path / 'raw'}`."
            )
        return [download(file, self.data_path / "download") for file in self._remote_files()]

    # ---------------------------------------------------------------- sampling

    def _fetch(self, draw: tuple[Any, dict[str, Any]]) -> Any:  # noqa: ANN401
        return self._finish(super()._fetch(draw))

    def __getitem__(self, index: Any) -> Any:  # noqa: ANN401
        """Return rows, with their `"index"`, transformed as batches are."""
        data = self._finish(super().__getitem__(index))
        return self._widen(data, ["index"]) if isinstance(data, TensorDictBase) else data

    def _annotate(self, data: Any, info: dict[str, Any]) -> Any:  # noqa: ANN401
        data = super()._annotate(data, info)
        return self._widen(data, list(info)) if isinstance(data, TensorDictBase) else data

    def _widen(self, data: TensorDictBase, keys: list[str]) -> TensorDictBase:
        """Give rows that are trajectories their time dimension, and so what is one per row."""
        if self._length is None:
            return data
        lead = data.batch_size
        for key in keys:
            value = data.get(key)
            tail = value.shape[len(lead) :]
            data.set(key, value.reshape(*lead, 1, *tail).expand(*lead, self._length, *tail))
        data.batch_size = [*lead, self._length]
        return data

    def _finish(self, data: Any) -> Any:  # noqa: ANN401
        """Put strings in the place of their codes."""
        if self._converted is not None and isinstance(data, TensorDictBase):
            for path, strings in self._converted.texts.items():
                codes = data.get(path, None)
                if codes is not None:
                    data.set(path, _decode(codes.tolist(), strings))
        return data

    # --------------------------------------------------------------- read only

    def __setitem__(self, index: Any, data: TensorDictBase) -> None:  # noqa: ANN401
        """Raise a `RuntimeError`, unless another `writer` was given."""
        self._check_writable()
        super().__setitem__(index, data)

    def _overwrite(self, *patch: Any) -> TensorDictReplayBuffer:
        self._check_writable()
        return super()._overwrite(*patch)

    def _check_writable(self) -> None:
        if isinstance(self._writer, ImmutableDatasetWriter):
            self._writer.add(None)
        return None

    # --------------------------------------------------------- other processes

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process needs: it maps the files itself, unless rows were changed."""
        state = super().__getstate__()
        converted = state.get("_converted")
        unchanged = isinstance(self._writer, ImmutableDatasetWriter)
        if converted is not None and unchanged and is_converted(converted.folder):
            state |= {"_converted": converted.folder, "_storage": None}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        folder = state.get("_converted")
        if isinstance(folder, Path):
            converted = open_converted(folder)
            state = {**state, "_converted": converted, "_storage": TensorStorage(converted.rows)}
        super().__setstate__(state)

    # ----------------------------------------------------------- preprocessing

    def preprocess(
        self,
        fn: Callable[[TensorDictBase], TensorDictBase],
        dim: int = 0,
        num_workers: int | None = None,
        *,
        chunksize: int | None = None,
        num_chunks: int | None = None,
        mp_start_method: str | None = None,
        num_frames: int | None = None,
        dest: str | os.PathLike[str],
    ) -> Storage:
        """Write a new dataset: every transition as `fn` returns it.

        Args:
            fn: takes a batch of rows `[n, ...]` and returns as many; it is called on consecutive
                batches, one after the other or in worker processes.
            dim: dimension that is cut into batches: 0.
            num_workers: number of worker processes; none by default. `fn` must then be importable
                in them.
            chunksize: rows per batch, 1000 by default.
            num_chunks: number of batches, in place of `chunksize`.
            mp_start_method: how workers start; by default as multiprocessing does.
            num_frames: only so many rows are taken, to try `fn` out.
            dest: folder of the new memory maps.

        Returns:
            A storage over the new memory maps, for a `ReplayBuffer`.

        Raises:
            ValueError: `dim` is not 0, or both `chunksize` and `num_chunks` are given.
            DatasetError: `fn` returns other keys, shapes or dtypes for some batch.
        """
        if dim != 0:
            raise ValueError(f"`dim` is {dim}, but rows are numbered by dimension 0: leave it out.")
        if chunksize is not None and num_chunks is not None:
            raise ValueError("Pass `chunksize` or `num_chunks`, not both.")
        count = len(self) if num_frames is None else min(num_frames, len(self))
        if num_chunks is not None:
            chunksize = -(-count // num_chunks)
        preprocess_rows(
            fn,
            self._storage[:],
            dest,
            count=count,
            chunk=chunksize or 1000,
            num_workers=num_workers or 0,
            start_method=mp_start_method,
        )
        return TensorStorage(open_converted(dest).rows)

    def __repr__(self) -> str:
        name = getattr(self, "dataset_id", "")
        return f"{type(self).__name__}({name!r}, len={len(self)}, batch_size={self._batch_size})"


def _default_root(source: str) -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "rl" / "datasets" / source


def _fingerprint(files: list[Path]) -> dict[str, list[int]]:
    """Return what tells whether local files have changed."""
    return {str(path): [path.stat().st_size, path.stat().st_mtime_ns] for path in files}


def _opened(folder: Path, may_convert: bool) -> Converted | None:
    """Open a converted dataset, if there is a good one or it may not be made anew."""
    if not is_converted(folder):
        return None
    try:
        return open_converted(folder)
    except DatasetError as error:
        if not may_convert:
            raise
        warnings.warn(f"{error} This is done now.", stacklevel=4)
        return None


def _decode(codes: Any, strings: list[str]) -> Any:  # noqa: ANN401
    if not isinstance(codes, list):
        return strings[codes]
    return NonTensorStack.from_list(_looked_up(codes, strings))


def _looked_up(codes: list[Any], strings: list[str]) -> list[Any]:
    return [strings[c] if isinstance(c, int) else _looked_up(c, strings) for c in codes]
