"""LeRobot: robot runs in the format of Hugging Face's library, from its hub."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from tensordict import TensorDict, TensorDictBase, is_non_tensor
from tensordict.utils import NestedKey
from torch import Tensor

from rl.core.errors import MissingKeyError
from rl.data.datasets.base import BaseDatasetExperienceReplay
from rl.data.datasets.columns import ColumnWriter, Converted
from rl.data.datasets.download import RemoteFile
from rl.data.datasets.error import DatasetError
from rl.data.datasets.hosts import HubRepository
from rl.data.datasets.lerobot_columns import key_of_column, lerobot_columns_to_tensordict
from rl.data.datasets.lerobot_files import LeRobotFolder, decode_frames
from rl.data.datasets.slices import slice_sampler
from rl.data.samplers.base import Sampler
from rl.data.storages.tensor_storage import TensorStorage
from rl.data.writers.base import Writer

__all__ = ["LeRobotExperienceReplay"]

_FRAMES = 64  # decoded and written at a time


class LeRobotExperienceReplay(BaseDatasetExperienceReplay):
    """A LeRobot dataset of version 2 or 3: states, actions, cameras, instructions.

    Rows are frames in the order of the files. Videos are decoded once, with the rest of the
    conversion: 480 x 640 takes 0.9 MB per frame and camera on the disk.

    Args:
        repo_id: name of the repository on the hub, such as `"lerobot/pusht"`.
        root: folder of the datasets; a repository put under `root/<repo_id>/raw/` is used in place
            of a download.
        download: whether missing files may be downloaded; `"force"` downloads and converts anew.
        batch_size: size of a batch.
        num_slices: number of slices of episodes in a batch.
        slice_len: length of a slice, in place of `num_slices`.
        sampler: in place of what the two arguments above say.
        writer: an `ImmutableDatasetWriter` by default.
        collate_fn: applied to batches.
        transform: applied to batches.
        key_map: entries for columns, in place of the usual ones; see
            `lerobot_columns_to_tensordict`.
        decode_video: whether cameras are decoded. Otherwise videos are not downloaded, and
            `("video", camera, "path")` and `("video", camera, "time_s")` say where a frame is.
        rehydrate: whether batches have what followed each frame under `"next"`: observation and
            done flags. What followed the last frame of an episode is unknown: NaN, 0 for integers;
            the frame is marked truncated unless the dataset has `next.done`.
        strict_length: whether episodes shorter than a slice are left out.
        pin_memory: whether batches are put in pinned memory.
        prefetch: number of batches prepared ahead.
        _data: rows to use in place of the files; `from_columns` passes them.

    Raises:
        DatasetError: files cannot be downloaded, are damaged, or are of another layout.

    Writes:
        what `lerobot_columns_to_tensordict` writes.

    Example:
        >>> columns = {
        ...     "observation.state": torch.arange(8.0)[:, None],
        ...     "action": torch.zeros(8, 7),
        ...     "episode_index": torch.arange(2).repeat_interleave(4),
        ...     "task": ["pick"] * 8,
        ... }
        >>> data = LeRobotExperienceReplay.from_columns(
        ...     columns, slice_len=4, batch_size=8, rehydrate=True
        ... )
        >>> data.sample()["action"].shape
        torch.Size([8, 7])
        >>> data[:]["next", "observation", "state"][2:4, 0]
        tensor([3., nan])
    """

    source: ClassVar[str] = "lerobot"
    endpoint: ClassVar[str] = "https://huggingface.co"

    def __init__(  # noqa: PLR0913
        self,
        repo_id: str,
        *,
        root: str | os.PathLike[str] | None = None,
        download: bool | str = True,
        batch_size: int | None = None,
        num_slices: int | None = None,
        slice_len: int | None = None,
        sampler: Sampler | None = None,
        writer: Writer | None = None,
        collate_fn: Callable[[Any], Any] | None = None,
        transform: Any = None,  # noqa: ANN401 (a transform, module or function)
        key_map: Mapping[str, NestedKey] | None = None,
        decode_video: bool = True,
        rehydrate: bool = False,
        strict_length: bool = True,
        pin_memory: bool = False,
        prefetch: int | None = None,
        _data: TensorDictBase | None = None,
    ) -> None:
        self._key_map = dict(key_map or {})
        self._decode = decode_video
        self._rehydrate = rehydrate
        self._episode_key = key_of_column("episode_index", self._key_map)
        self._variant = "" if decode_video else "-references"
        if self._key_map:
            # another map is another conversion
            names = repr(sorted(self._key_map.items())).encode()
            self._variant += "-" + hashlib.sha256(names).hexdigest()[:12]
        if sampler is None:
            sampler = slice_sampler(
                num_slices, slice_len, strict_length=strict_length, traj_key=self._episode_key
            )
        if _data is None:
            rows = self._obtain(repo_id, root, download)
        else:
            self._place(repo_id, root)
            self._converted = _in_memory(_data, self.data_path)
            self.metadata, rows = {}, self._converted.rows
        if rehydrate and rows.get(self._episode_key, None) is None:
            raise MissingKeyError(
                f"`rehydrate=True` needs `{self._episode_key}`; the keys are "
                f"{sorted(map(str, rows.keys()))}. Give the column `episode_index`."
            )
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

    @classmethod
    def from_columns(
        cls,
        columns: Mapping[str, Any],
        *,
        repo_id: str = "local",
        key_map: Mapping[str, NestedKey] | None = None,
        **kwargs: Any,
    ) -> LeRobotExperienceReplay:
        """Return a dataset of columns in memory; see `lerobot_columns_to_tensordict`."""
        rows = lerobot_columns_to_tensordict(columns, key_map=key_map)
        return cls(repo_id, key_map=key_map, _data=rows, **kwargs)

    def _remote_files(self) -> list[RemoteFile]:
        listed = HubRepository(self.dataset_id, endpoint=self.endpoint).files()
        wanted = ("meta/", "data/", "videos/") if self._decode else ("meta/", "data/")
        return [file for file in listed if file.path.startswith(wanted)]

    def _convert(self, files: list[Path], writer: ColumnWriter) -> None:
        described = [path for path in files if path.parts[-2:] == ("meta", "info.json")]
        if not described:
            raise DatasetError(f"`{self.data_path}` lacks `meta/info.json`: is it a LeRobot one?")
        source = LeRobotFolder(described[0].parent.parent)
        writer.metadata = {**source.info, "tasks": list(source.tasks.values())}
        for table in source.tables():
            for columns in _runs(table):
                writer.append(self._rows(source, columns))

    def _rows(self, source: LeRobotFolder, columns: dict[str, Any]) -> dict[str, Any]:
        """Return frames of one episode with their instructions and cameras."""
        columns = dict(columns)
        episode = int(columns["episode_index"][0])
        columns.pop("index", None)  # the buffer's own
        if source.tasks and "task" not in columns:
            columns["task"] = [source.tasks[int(i)] for i in columns["task_index"]]
        times = np.asarray(columns["timestamp"], np.float64).reshape(-1)
        count = len(times)
        for camera in source.cameras:
            span = source.video(camera, episode)
            if self._decode:
                tolerance = 0.5 / float(source.info["fps"])
                path = source.folder / span.path
                columns[camera] = decode_frames(path, span.start_s + times, tolerance)
            else:
                label = camera.removeprefix("observation.images.")
                columns[f"video/{label}/path"] = [span.path] * count
                columns[f"video/{label}/time_s"] = span.start_s + times
        moved = {f"video/{k}": tuple(f"video/{k}".split("/")) for k in _references(columns)}
        rows = lerobot_columns_to_tensordict(columns, key_map={**moved, **self._key_map})
        return _plain(rows)

    # ---------------------------------------------------------------- sampling

    def _fetch(self, draw: tuple[Any, dict[str, Any]]) -> Any:  # noqa: ANN401
        data = super()._fetch(draw)
        return self._followed(data, draw[0]) if self._rehydrate else data

    def __getitem__(self, index: Any) -> Any:  # noqa: ANN401
        """Return rows, with their `"index"`, transformed as batches are."""
        data = super().__getitem__(index)
        return self._followed(data, torch.arange(len(self))[index]) if self._rehydrate else data

    def _followed(self, data: TensorDictBase, index: Tensor) -> TensorDictBase:
        """Write what followed each frame, from the next row if that is of the same episode."""
        rows = self._converted.rows
        later = rows[(index + 1).clamp(max=len(rows) - 1)]
        here, there = data.get(self._episode_key), later.get(self._episode_key)
        last = (here != there) | (index + 1 >= len(rows))
        observation = later.get("observation").apply(lambda leaf: _blank(leaf, last))
        data.set(("next", "observation"), observation)
        done = data.get(("next", "done"), None)
        terminated = torch.zeros_like(last) if done is None else done.reshape(last.shape)
        terminated = terminated.unsqueeze(-1)
        truncated = last.unsqueeze(-1) & ~terminated
        data.set(("next", "terminated"), terminated)
        data.set(("next", "truncated"), truncated)
        data.set(("next", "done"), terminated | truncated)
        return data


def _blank(leaf: Tensor, where: Tensor) -> Tensor:
    filler = float("nan") if leaf.is_floating_point() else 0
    return torch.where(where.reshape(*where.shape, *[1] * (leaf.ndim - where.ndim)), filler, leaf)


def _runs(table: dict[str, Any]) -> list[dict[str, Any]]:
    """Cut a table where the episode changes, and into parts of a size that memory holds."""
    episodes = np.asarray(table["episode_index"]).reshape(-1)
    edges = np.flatnonzero(np.diff(episodes)) + 1
    parts = []
    for start, stop in zip([0, *edges], [*edges, len(episodes)], strict=True):
        for begin in range(start, stop, _FRAMES):
            end = min(begin + _FRAMES, stop)
            parts.append({name: column[begin:end] for name, column in table.items()})
    return parts


def _references(columns: Mapping[str, Any]) -> list[str]:
    return [name.removeprefix("video/") for name in columns if name.startswith("video/")]


def _plain(rows: TensorDictBase) -> dict[str, Any]:
    """Return a nest of tensors and lists of strings."""
    return {
        key: value.tolist()
        if is_non_tensor(value)
        else _plain(value)
        if isinstance(value, TensorDictBase)
        else value
        for key, value in ((key, rows.get(key)) for key in rows.keys())  # noqa: SIM118
    }


def _in_memory(data: TensorDictBase, folder: Path) -> Converted:
    """Return rows whose strings are codes, as the storage keeps tensors only."""
    texts: dict[tuple[str, ...], list[str]] = {}

    def coded(nested: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
        result = {}
        for key, value in nested.items():
            if isinstance(value, dict):
                result[key] = coded(value, (*path, key))
            elif isinstance(value, list):
                codes = {text: i for i, text in enumerate(dict.fromkeys(value))}
                texts[(*path, key)] = list(codes)
                result[key] = torch.tensor([codes[text] for text in value])
            else:
                result[key] = value
        return result

    rows = TensorDict(coded(_plain(data.exclude("index")), ()), data.batch_size)
    return Converted(rows, texts, {}, {}, folder)
