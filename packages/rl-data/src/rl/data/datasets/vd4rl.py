"""V-D4RL: control from pixels.

Lu et al., "Challenges and Opportunities in Offline RL from Visual Observations", 2022. Datasets
of 64 pixels are one `.npz` per episode, as Dreamer writes them; those of 84 pixels are HDF5 files
of several episodes, as DrQ-v2 writes them. In both, a row holds an observation with the action
that led to it and the reward that came with it.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from tensordict import TensorDictBase
from torch import Tensor
from torch.nn import functional

from rl.core.optional import optional
from rl.data.datasets.base import BaseDatasetExperienceReplay
from rl.data.datasets.columns import ColumnWriter
from rl.data.datasets.download import RemoteFile, download
from rl.data.datasets.error import DatasetError, DatasetNotFoundError
from rl.data.datasets.hosts import HubRepository
from rl.data.datasets.listing import Listing
from rl.data.datasets.transitions import episode_rows
from rl.data.samplers.base import Sampler
from rl.data.storages.tensor_storage import TensorStorage
from rl.data.writers.base import Writer

__all__ = ["VD4RLExperienceReplay"]

h5py = optional("h5py", extra="rl-data[vd4rl]")

_ENDINGS = (".npz", ".hdf5", ".h5")
_STEP = {"image", "action", "reward", "discount", "is_first", "is_last", "is_terminal"}


def _remote_ids(cls: type[VD4RLExperienceReplay]) -> list[str]:
    paths = [file.path for file in cls.repository.files() if file.path.endswith(_ENDINGS)]
    return sorted({path.removeprefix("vd4rl/").rpartition("/")[0] for path in paths})


class VD4RLExperienceReplay(BaseDatasetExperienceReplay):
    """A V-D4RL dataset: pixels, and the state where the files have it.

    Args:
        dataset_id: folder in the repository, such as `"main/walker_walk/random/64px"`.
        batch_size: size of a batch.
        root: folder of the datasets; files put under `root/<dataset_id>/raw/` are used in place of
            a download.
        download: whether missing files may be downloaded; `"force"` downloads and converts anew.
        sampler: which rows make a batch, random ones by default.
        writer: an `ImmutableDatasetWriter` by default.
        collate_fn: applied to batches.
        pin_memory: whether batches are put in pinned memory.
        prefetch: number of batches prepared ahead.
        transform: applied to batches, after what the next two arguments ask for.
        split_trajs: whether a row is a trajectory, padded to the longest, with `"mask"`.
        totensor: whether batches have pixels as floats in [0, 1], rather than uint8.
        image_size: side, or height and width, that pixels of batches are resized to (bilinear).
        num_workers: how many files are downloaded at once.

    Raises:
        DatasetNotFoundError: the repository has no such folder.
        DatasetError: the files cannot be downloaded, are damaged, or are of another layout.

    Writes:
        pixels: [n, 3, height, width], also under `"next"`.
        observation: nested [n, ...], the state if the files have it; also under `"next"`.
        action: [n, ...].
        episode: [n] int64, number of the episode.
        is_init: [n, 1] bool, whether an episode begins.
        done, terminated, truncated: [n, 1] bool, False.
        ("next", "reward"): [n, 1] float32.
        ("next", "done"), ("next", "terminated"), ("next", "truncated"): [n, 1] bool.

    Example:
        >>> import tempfile
        >>> raw = Path(tempfile.mkdtemp()) / "main" / "walk" / "raw"
        >>> raw.mkdir(parents=True)
        >>> np.savez(raw / "0.npz", image=np.full((3, 64, 64, 3), 255, np.uint8),
        ...     action=np.zeros((3, 6), np.float32), reward=np.arange(3.0),
        ...     discount=np.ones(3), is_terminal=np.zeros(3, bool))
        >>> data = VD4RLExperienceReplay("main/walk", 2, root=raw.parents[2], image_size=50)
        >>> data.sample()["pixels"].shape, data[:]["next", "reward"].squeeze(-1).tolist()
        (torch.Size([2, 3, 50, 50]), [1.0, 2.0])
    """

    source: ClassVar[str] = "vd4rl"
    repository: ClassVar[HubRepository] = HubRepository("conglu/vd4rl")
    available_datasets = Listing(_remote_ids, "Return the names on the hub, which is asked.")

    def __init__(  # noqa: PLR0913
        self,
        dataset_id: str,
        batch_size: int | None = None,
        *,
        root: str | os.PathLike[str] | None = None,
        download: bool | str = True,
        sampler: Sampler | None = None,
        writer: Writer | None = None,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        prefetch: int | None = None,
        transform: Any = None,  # noqa: ANN401 (a transform, module or function)
        split_trajs: bool = False,
        totensor: bool = True,
        image_size: int | Sequence[int] | None = None,
        num_workers: int = 0,
    ) -> None:
        self._num_workers = num_workers
        rows = self._obtain(dataset_id, root, download, split_trajs)
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
        if totensor or image_size is not None:
            self.insert_transform(0, _Pixels(totensor, image_size))

    def _remote_files(self) -> list[RemoteFile]:
        listed = [file for file in self.repository.files() if file.path.endswith(_ENDINGS)]
        wanted = {self.dataset_id, f"vd4rl/{self.dataset_id}"}
        found = [file for file in listed if file.path.rpartition("/")[0] in wanted]
        if not found:
            raise DatasetNotFoundError(
                f"`{self.repository.url(self.dataset_id)}` holds no dataset. See "
                "`VD4RLExperienceReplay.available_datasets`."
            )
        return found

    def _fetch_files(self, allowed: bool) -> list[Path]:
        if not allowed or not self._num_workers:
            return super()._fetch_files(allowed)
        folder = self.data_path / "download"
        with ThreadPoolExecutor(self._num_workers) as pool:
            return list(pool.map(lambda file: download(file, folder), self._remote_files()))

    def _convert(self, files: list[Path], writer: ColumnWriter) -> None:
        number = 0
        for file in sorted(files):
            for episode in _npz(file) if file.suffix == ".npz" else _hdf5(file):
                if len(episode["action"]) > 1:
                    writer.append(_rows(episode, number))
                    number += 1


def _npz(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            episode = {key: file[key] for key in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise _damaged(path, error) from error
    _require(path, episode, ("image", "action", "reward"))
    if "is_terminal" not in episode:
        _require(path, episode, ("discount",))
        episode["is_terminal"] = episode["discount"] == 0
    # pictures come as height, width, channel
    episode["pixels"] = episode["image"].transpose(0, 3, 1, 2)
    state = {key: value for key, value in episode.items() if key not in _STEP | {"pixels"}}
    count = len(episode["action"])
    episode["state"] = {key: value for key, value in state.items() if len(value) == count}
    yield episode


def _hdf5(path: Path) -> Iterator[dict[str, Any]]:
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise _damaged(path, error) from error
    with file:
        _require(path, file, ("observation", "action", "reward", "discount", "step_type"))
        first = np.flatnonzero(file["step_type"][()].reshape(-1) == 0)
        stops = [*first[1:], len(file["action"])]
        for start, stop in zip(first, stops, strict=True):
            yield {
                "pixels": file["observation"][start:stop],
                "action": file["action"][start:stop],
                "reward": file["reward"][start:stop],
                "is_terminal": file["discount"][start:stop] == 0,
                "state": {},
            }


def _rows(episode: Mapping[str, Any], number: int) -> dict[str, Any]:
    """Return transitions: what led to row t + 1 is the step that was made at row t."""
    terminated = np.asarray(episode["is_terminal"]).reshape(-1)[1:]
    states = {"pixels": episode["pixels"]}
    if episode["state"]:
        states["observation"] = episode["state"]
    init = np.zeros((len(terminated), 1), bool)
    init[0] = True
    return episode_rows(
        states=states,
        action=episode["action"][1:],
        reward=np.asarray(episode["reward"], np.float32)[1:],
        terminated=terminated,
        truncated=np.zeros_like(terminated),
        episode=number,
        extra={"is_init": init},
    )


class _Pixels:
    """Turns pixels of batches into floats and resizes them."""

    def __init__(self, totensor: bool, size: int | Sequence[int] | None) -> None:
        self.totensor = totensor
        self.size = (size, size) if isinstance(size, int) else None if size is None else tuple(size)

    def __call__(self, data: TensorDictBase) -> TensorDictBase:
        for key in ("pixels", ("next", "pixels")):
            data.set(key, self._shown(data.get(key)))
        return data

    def _shown(self, pixels: Tensor) -> Tensor:
        if self.totensor:
            pixels = pixels.float() / 255
        if self.size is None:
            return pixels
        flat = pixels.reshape(-1, *pixels.shape[-3:])
        flat = functional.interpolate(flat, self.size, mode="bilinear", antialias=True)
        return flat.reshape(*pixels.shape[:-2], *self.size)


def _require(path: Path, found: Mapping[str, Any], keys: Sequence[str]) -> None:
    missing = [key for key in keys if key not in found]
    if missing:
        raise DatasetError(
            f"`{path}` lacks `{missing[0]}`; it holds {sorted(found)}. Is it a V-D4RL file?"
        )


def _damaged(path: Path, error: object) -> DatasetError:
    return DatasetError(f"`{path}` is damaged ({error}). Remove it to download it anew.")
