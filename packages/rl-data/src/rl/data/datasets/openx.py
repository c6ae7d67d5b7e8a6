"""Open X-Embodiment: robot runs of many laboratories (O'Neill et al., 2023)."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import torch
from tensordict import NonTensorStack, TensorDict, TensorDictBase

from rl.core.errors import NotRegisteredError, nearest
from rl.data.datasets.base import BaseDatasetExperienceReplay
from rl.data.datasets.columns import ColumnWriter
from rl.data.datasets.download import RemoteFile, open_url
from rl.data.datasets.error import DatasetNotFoundError
from rl.data.datasets.hosts import HubRepository
from rl.data.datasets.openx_episodes import episodes_of_tar, rows_of_steps
from rl.data.datasets.openx_names import OPENX_NAMES
from rl.data.datasets.openx_stream import TrajectorySlices
from rl.data.datasets.slices import slice_sampler
from rl.data.samplers.base import Sampler
from rl.data.samplers.without_replacement import SamplerWithoutReplacement
from rl.data.storages.list_storage import ListStorage
from rl.data.storages.tensor_storage import TensorStorage
from rl.data.writers.base import Writer

__all__ = ["OpenXExperienceReplay"]


class OpenXExperienceReplay(BaseDatasetExperienceReplay):
    """A dataset of Open X-Embodiment, converted or as a stream.

    The episodes are pickled; they are read without unpickling, see `rl.data.datasets.inert_pickle`.

    A stream keeps nothing on the disk. It hands out trajectories in the order of the files, whole
    or slices of them, and ends with the last; it has no length and no rows to index.

    Args:
        dataset_id: name of the dataset, such as `"cmu_stretch"`.
        batch_size: size of a batch; a stream without one hands out whole trajectories.
        shuffle: whether rows come in random order without replacement; of a stream, whether the
            files do.
        num_slices: number of slices of trajectories in a batch.
        slice_len: length of a slice, in place of `num_slices`.
        pad: value that fills slices of trajectories that are too short (True: 0). Otherwise such
            trajectories are left out, or raise in a stream.
        replacement: whether rows or slices are drawn with replacement, by default unless streamed.
        streaming: whether the data are streamed.
        root: folder of the datasets; tars put under `root/<dataset_id>/raw/` are used in place of a
            download.
        download: whether missing files may be downloaded; `"force"` downloads and converts anew.
        sampler: in place of what the arguments above say.
        writer: an `ImmutableDatasetWriter` by default.
        collate_fn: applied to batches.
        pin_memory: whether batches are put in pinned memory.
        prefetch: number of batches prepared ahead; not of a stream.
        transform: applied to batches.
        split_trajs: whether a row is a trajectory, padded to the longest, with `"mask"`.
        strict_length: whether trajectories shorter than a slice are left out.

    Raises:
        NotRegisteredError: there is no such dataset; the message suggests the nearest.
        ValueError: arguments contradict each other.
        DatasetError: files cannot be downloaded, are damaged, or hold something else.

    Writes:
        observation: nested [n, ...], pictures as [n, 3, height, width]; also under `"next"`.
        action: [n, ...], nested as in the source.
        episode: [n] int64, number of the episode.
        is_init: [n, 1] bool, whether an episode begins.
        language_instruction and what else the source tells of steps: [n, ...], strings as strings.
        done, terminated, truncated: [n, 1] bool, False.
        ("next", "reward"): [n, 1] float32.
        ("next", "done"), ("next", "terminated"), ("next", "truncated"): [n, 1] bool.

    Example:
        >>> len(OpenXExperienceReplay.available_datasets)
        55
        >>> "cmu_stretch" in OpenXExperienceReplay.available_datasets
        True
    """

    source: ClassVar[str] = "openx"
    repository: ClassVar[HubRepository] = HubRepository("jxu124/OpenX-Embodiment")
    available_datasets: ClassVar[tuple[str, ...]] = OPENX_NAMES

    def __init__(  # noqa: PLR0913
        self,
        dataset_id: str,
        batch_size: int | None = None,
        *,
        shuffle: bool = True,
        num_slices: int | None = None,
        slice_len: int | None = None,
        pad: bool | float | None = None,
        replacement: bool | None = None,
        streaming: bool = False,
        root: str | os.PathLike[str] | None = None,
        download: bool | str = True,
        sampler: Sampler | None = None,
        writer: Writer | None = None,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        prefetch: int | None = None,
        transform: Any = None,  # noqa: ANN401 (a transform, module or function)
        split_trajs: bool = False,
        strict_length: bool = True,
    ) -> None:
        if dataset_id not in self.available_datasets:
            raise NotRegisteredError(
                f"Open X has no dataset `{dataset_id}`. "
                f"{nearest(dataset_id, self.available_datasets)}"
            )
        padding = None if pad is None or pad is False else float(pad) if pad is not True else 0.0
        self._shuffle = shuffle
        self._stream: TrajectorySlices | None = None
        if streaming:
            _check_stream(split_trajs, sampler, prefetch, replacement)
            self._place(dataset_id, root)
            self._stream = TrajectorySlices(self._trajectories, num_slices, slice_len, padding)
            storage = ListStorage(1)
        else:
            if sampler is None:
                sampler = slice_sampler(
                    num_slices,
                    slice_len,
                    strict_length=strict_length,
                    replacement=replacement is not False,
                    pad=padding is not None,
                )
            if sampler is None and replacement is False:
                sampler = SamplerWithoutReplacement(shuffle=shuffle)
            storage = TensorStorage(self._obtain(dataset_id, root, download, split_trajs))
        super().__init__(
            storage=storage,
            batch_size=batch_size,
            sampler=sampler,
            writer=writer,
            collate_fn=collate_fn,
            pin_memory=pin_memory,
            prefetch=prefetch,
            transform=transform,
        )

    def _remote_files(self) -> list[RemoteFile]:
        found = [f for f in self.repository.files(self.dataset_id) if f.path.endswith(".tar")]
        if not found:
            raise DatasetNotFoundError(f"`{self.repository.url(self.dataset_id)}` holds no tar.")
        return sorted(found, key=lambda file: file.path)

    def _convert(self, files: list[Path], writer: ColumnWriter) -> None:
        number = 0
        for file in files:
            with open(file, "rb") as stream:
                for steps in episodes_of_tar(stream, str(file)):
                    rows = rows_of_steps(steps, number)
                    if rows is not None:
                        writer.append(rows)
                        number += 1

    # ------------------------------------------------------------------ stream

    def _trajectories(self) -> Iterator[TensorDictBase]:
        """Yield the trajectories of all files, which are opened one after the other."""
        number = 0
        sources: list[Path | RemoteFile] = list(self._local_files()) or list(self._remote_files())
        if self._shuffle:
            random.Random(int(torch.randint(2**31, ()))).shuffle(sources)
        for source in sources:
            for steps in _episodes(source):
                rows = rows_of_steps(steps, number)
                if rows is not None:
                    number += 1
                    yield TensorDict(_tensors(rows), [len(rows["episode"])])

    def sample(self, batch_size: int | None = None, return_info: bool = False) -> Any:  # noqa: ANN401
        """Return a batch; of a stream, the next one, from its beginning after its end.

        Raises:
            RuntimeError: the stream holds too few trajectories for a batch.
        """
        if self._stream is None:
            return super().sample(batch_size, return_info)
        size = self._batch_size if batch_size is None else batch_size
        data = self._next(size)
        data = self._next(size) if data is None else data
        if data is None:
            raise RuntimeError("The stream holds too few trajectories for one batch.")
        return (data, {}) if return_info else data

    def __iter__(self) -> Iterator[Any]:
        """Sample until a pass is over; of a stream, until its end."""
        if self._stream is None:
            yield from super().__iter__()
            return
        while (data := self._next(self._batch_size)) is not None:
            yield data

    def _next(self, batch_size: int | None) -> TensorDictBase | None:
        data = self._stream.next(batch_size, self._sampler.generator)
        return self._transform(data) if data is not None and len(self._transform) else data

    def __len__(self) -> int:
        if self._stream is not None:
            raise TypeError("A stream has no length. Pass `streaming=False` to convert it.")
        return super().__len__()


def _check_stream(split: bool, sampler: Any, prefetch: int | None, replacement: Any) -> None:  # noqa: ANN401
    for name, wrong in (
        ("split_trajs", split),
        ("sampler", sampler is not None),
        ("prefetch", bool(prefetch)),
        ("replacement", replacement is True),
    ):
        if wrong:
            raise ValueError(
                f"`{name}` needs all rows, which a stream has not: leave it out, or pass "
                "`streaming=False`."
            )


def _episodes(source: Path | RemoteFile) -> Iterator[list[dict[str, Any]]]:
    if isinstance(source, Path):
        with open(source, "rb") as stream:
            yield from episodes_of_tar(stream, str(source))
        return
    with open_url(source.url) as response:
        reader: BinaryIO = response
        yield from episodes_of_tar(reader, source.url)


def _tensors(nested: Any) -> Any:  # noqa: ANN401
    if isinstance(nested, dict):
        return {key: _tensors(value) for key, value in nested.items()}
    if isinstance(nested, list):
        return NonTensorStack.from_list(nested)
    return torch.from_numpy(nested.copy())
