"""The DQN replay dataset: all steps of DQN agents on Atari games (Agarwal et al., 2020).

A run of an agent is 50 checkpoints of a replay ring of a million steps. Each is a set of gzipped
numpy files: `$store$_observation_ckpt.N.gz` [n, 84, 84] and the like for action, reward and
terminal, and `add_count_ckpt.N.gz`, which tells where the ring begins. See
https://offline-rl.github.io.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from rl.core.errors import NotRegisteredError, nearest
from rl.data.datasets.atari_games import ATARI_GAMES
from rl.data.datasets.base import BaseDatasetExperienceReplay
from rl.data.datasets.columns import ColumnWriter
from rl.data.datasets.download import RemoteFile
from rl.data.datasets.error import DatasetError
from rl.data.datasets.hosts import Bucket
from rl.data.datasets.slices import slice_sampler
from rl.data.datasets.transitions import as_column, done_flags
from rl.data.samplers.base import Sampler
from rl.data.storages.tensor_storage import TensorStorage
from rl.data.writers.base import Writer

__all__ = ["AtariDQNExperienceReplay"]

_PARTS = ("observation", "action", "reward", "terminal")
_NAME = re.compile(r"(?:\$store\$_)?(observation|action|reward|terminal|add_count)_ckpt\.(\d+)\.gz")
_STACK = 4  # the agent's state is four frames; its ring pads each episode's beginning with zeros
_CHUNK = 20_000


class AtariDQNExperienceReplay(BaseDatasetExperienceReplay):
    """The steps of one DQN agent on one game, single frames of 84 x 84.

    Steps come in the order in which the agent saw them. The padding that the agent's ring puts
    before episodes is left out. The last frame of an episode was not stored: after a step that
    terminated the next frame is zero, which no value estimator reads; where a checkpoint ends in
    the middle of an episode its last step is left out and the step before marked truncated.
    `CatFrames` stacks frames.

    A run is large (50 million steps, some 350 GB converted); `num_checkpoints` takes its beginning.

    Args:
        dataset_id: `"<game>/<run>"` with a run of 1 to 5, such as `"Pong/5"`.
        batch_size: size of a batch.
        root: folder of the datasets; files put under `root/<dataset_id>/raw/` are used in place of
            a download.
        download: whether missing files may be downloaded; `"force"` downloads and converts anew.
        sampler: which rows make a batch, random ones by default.
        writer: an `ImmutableDatasetWriter` by default.
        transform: applied to batches.
        num_procs: number of processes that unpack checkpoints; none by default.
        num_slices: number of slices of trajectories in a batch.
        slice_len: length of a slice, in place of `num_slices`.
        strict_len: whether trajectories shorter than a slice are left out.
        replacement: whether slices are drawn with replacement.
        mp_start_method: how the processes start.
        num_checkpoints: how many checkpoints are taken, all 50 by default.
        kwargs: see `TensorDictReplayBuffer`.

    Raises:
        NotRegisteredError: there is no such run; the message suggests the nearest.
        DatasetError: the files cannot be downloaded or are damaged.

    Writes:
        observation: [n, 84, 84] uint8, also under `"next"`.
        action: [n] int32.
        episode: [n] int64, number of the episode.
        done, terminated, truncated: [n, 1] bool, False.
        ("next", "reward"): [n, 1] float32.
        ("next", "done"), ("next", "terminated"), ("next", "truncated"): [n, 1] bool.

    Example:
        >>> import tempfile
        >>> raw = Path(tempfile.mkdtemp()) / "Pong" / "5" / "raw"
        >>> raw.mkdir(parents=True)
        >>> steps = {"observation": np.ones((3, 84, 84), np.uint8), "action": np.arange(3),
        ...     "reward": np.zeros(3, np.float32), "terminal": np.array([0, 1, 0], np.uint8)}
        >>> for name, array in steps.items():
        ...     with gzip.open(raw / f"$store$_{name}_ckpt.0.gz", "wb") as file:
        ...         np.save(file, array)
        >>> data = AtariDQNExperienceReplay("Pong/5", 2, root=raw.parents[2])
        >>> len(data), data[:]["next", "terminated"].squeeze(-1)
        (2, tensor([False,  True]))
    """

    source: ClassVar[str] = "atari_dqn"
    bucket: ClassVar[Bucket] = Bucket("atari-replay-datasets")
    available_datasets: ClassVar[tuple[str, ...]] = tuple(
        f"{game}/{run}" for game in ATARI_GAMES for run in range(1, 6)
    )

    def __init__(  # noqa: PLR0913
        self,
        dataset_id: str,
        batch_size: int | None = None,
        *,
        root: str | os.PathLike[str] | None = None,
        download: bool | str = True,
        sampler: Sampler | None = None,
        writer: Writer | None = None,
        transform: Any = None,  # noqa: ANN401 (a transform, module or function)
        num_procs: int = 0,
        num_slices: int | None = None,
        slice_len: int | None = None,
        strict_len: bool = True,
        replacement: bool = True,
        mp_start_method: str | None = None,
        num_checkpoints: int = 50,
        **kwargs: Any,
    ) -> None:
        if dataset_id not in self.available_datasets:
            raise NotRegisteredError(
                f"The DQN replay dataset has no run `{dataset_id}`. "
                f"{nearest(dataset_id, self.available_datasets)}"
            )
        if not 1 <= num_checkpoints <= 50:
            raise ValueError(f"`num_checkpoints` is {num_checkpoints}, expected 1 to 50.")
        self._num_procs = num_procs
        self._start_method = mp_start_method
        self._num_checkpoints = num_checkpoints
        self._variant = "" if num_checkpoints == 50 else f"-{num_checkpoints}"
        if sampler is None:
            sampler = slice_sampler(
                num_slices, slice_len, strict_length=strict_len, replacement=replacement
            )
        rows = self._obtain(dataset_id, root, download)
        super().__init__(
            storage=TensorStorage(rows),
            batch_size=batch_size,
            sampler=sampler,
            writer=writer,
            transform=transform,
            **kwargs,
        )

    def _remote_files(self) -> list[RemoteFile]:
        listed = self.bucket.files(f"dqn/{self.dataset_id}/replay_logs/")
        return [file for file in listed if self._is_wanted(file.path)]

    def _is_wanted(self, path: str) -> bool:
        match = _NAME.fullmatch(path.rpartition("/")[2])
        return match is not None and int(match[2]) < self._num_checkpoints

    def _convert(self, files: list[Path], writer: ColumnWriter) -> None:
        checkpoints: dict[int, dict[str, Path]] = {}
        for file in files:
            match = _NAME.fullmatch(file.name)
            if match is not None and self._is_wanted(file.name):
                checkpoints.setdefault(int(match[2]), {})[match[1]] = file
        if not checkpoints:
            raise DatasetError(f"`{self.data_path}` holds no file like `$store$_action_ckpt.0.gz`.")
        episode = 0
        ordered = [checkpoints[number] for number in sorted(checkpoints)]
        with tempfile.TemporaryDirectory(dir=self.data_path, prefix=".unpacked-") as folder:
            for steps in self._read(ordered, folder):
                for rows in _rows(steps, episode):
                    writer.append(rows)
                    episode = int(rows["episode"][-1]) + int(rows["next"]["done"][-1, 0])

    def _read(self, checkpoints: list[dict[str, Path]], folder: str) -> Iterator[_Steps]:
        if not self._num_procs:
            for number, files in enumerate(checkpoints):
                yield from _opened(_unpack(files, Path(folder) / f"{number}.npy"))
            return
        with ProcessPoolExecutor(self._num_procs, get_context(self._start_method)) as pool:
            waiting = []
            for number, files in enumerate(checkpoints):
                waiting.append(pool.submit(_unpack, files, Path(folder) / f"{number}.npy"))
                if len(waiting) > self._num_procs:  # so that the disk holds few checkpoints
                    yield from _opened(waiting.pop(0).result())
            for result in waiting:
                yield from _opened(result.result())


@dataclass
class _Steps:
    """The steps of a checkpoint: frames on the disk, and the order in which they were made."""

    observation: np.ndarray
    action: np.ndarray
    reward: np.ndarray
    terminal: np.ndarray
    order: np.ndarray

    def frames(self, start: int, stop: int) -> np.ndarray:
        return self.observation[self.order[start:stop]]


def _unpack(files: dict[str, Path], target: Path) -> tuple[Path, dict[str, np.ndarray]]:
    """Unpack the frames of a checkpoint to a file; return it and the other arrays."""
    missing = [part for part in _PARTS if part not in files]
    if missing:
        where = next(iter(files.values()))
        raise DatasetError(f"`{where}` has no neighbour with `{missing[0]}`: a file is missing.")
    arrays = {part: _array(path) for part, path in files.items() if part != "observation"}
    try:
        with gzip.open(files["observation"]) as source, open(target, "wb") as out:
            shutil.copyfileobj(source, out, 1 << 20)
        count = len(np.load(target, mmap_mode="r", allow_pickle=False))
    except _DAMAGES as error:
        raise _damaged(files["observation"], error) from error
    if any(len(arrays[part]) != count for part in _PARTS[1:]):
        raise DatasetError(f"`{files['action']}` and its neighbours differ in length.")
    return target, arrays


def _opened(unpacked: tuple[Path, dict[str, np.ndarray]]) -> Iterator[_Steps]:
    """Yield the steps of a checkpoint, oldest first, without the ring's padding."""
    path, arrays = unpacked
    frames = np.load(path, mmap_mode="r", allow_pickle=False)
    # the ring was written so often, and begins behind the newest step
    order = np.roll(np.arange(len(frames)), -int(arrays.pop("add_count", 0)) % len(frames))
    steps = _Steps(frames, **{name: array[order] for name, array in arrays.items()}, order=order)
    keep = ~_padding(steps)
    yield _Steps(frames, steps.action[keep], steps.reward[keep], steps.terminal[keep], order[keep])
    path.unlink()


def _array(path: Path) -> np.ndarray:
    try:
        with gzip.open(path, "rb") as file:
            array = np.load(file, allow_pickle=False)
            file.read()  # to the end, where the checksum is
            return array
    except _DAMAGES as error:
        raise _damaged(path, error) from error


_DAMAGES = (OSError, EOFError, ValueError, zlib.error)


def _damaged(path: Path, error: Exception) -> DatasetError:
    return DatasetError(
        f"`{path}` is no gzipped numpy file or is damaged ({error}). Remove it to download it anew."
    )


def _padding(steps: _Steps) -> np.ndarray:
    """Return where the ring holds zeros that stand before an episode."""
    empty = (steps.action == 0) & (steps.reward == 0) & (steps.terminal == 0)
    begins = np.append(True, steps.terminal[:-1] != 0)
    padding = np.zeros_like(begins)
    for _ in range(_STACK - 1):
        candidates = np.flatnonzero(begins & empty)
        black = ~steps.observation[steps.order[candidates]].any((1, 2))
        begins = np.zeros_like(begins)
        padding[candidates[black]] = True
        begins[1:][candidates[black & (candidates + 1 < len(begins))]] = True
    return padding


def _rows(steps: _Steps, episode: int) -> Iterator[dict[str, Any]]:
    """Yield transitions; the last step is left out unless it terminated."""
    terminal = steps.terminal != 0
    count = len(terminal) if terminal[-1] else len(terminal) - 1
    truncated = np.zeros(count, bool)
    if count and count < len(terminal) and not terminal[count - 1]:
        truncated[-1] = True
    numbers = episode + np.concatenate([[0], np.cumsum(terminal)])[:count]
    for start in range(0, count, _CHUNK):
        span = slice(start, min(start + _CHUNK, count))
        frames = steps.frames(start, span.stop + 1)
        now = frames[: span.stop - start]
        later = np.zeros_like(now)
        later[: len(frames) - 1] = frames[1:]
        later[terminal[span]] = 0
        none = np.zeros((len(now), 1), bool)
        yield {
            "observation": now,
            "action": steps.action[span].astype(np.int32),
            "episode": numbers[span],
            "done": none,
            "terminated": none,
            "truncated": none,
            "next": {
                "observation": later,
                "reward": as_column(steps.reward[span]),
                **done_flags(terminal[span], truncated[span]),
            },
        }
