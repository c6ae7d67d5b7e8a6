"""Gen-DGRL: Procgen runs of "The Generalization Gap in Offline RL" (Mediratta et al., 2023).

A dataset is a tar of one `.npy` per episode, each a pickled dict of arrays.
"""

from __future__ import annotations

import lzma
import os
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.lib import format as npy

from rl.core.errors import NotRegisteredError, nearest
from rl.data.datasets.base import BaseDatasetExperienceReplay
from rl.data.datasets.columns import ColumnWriter
from rl.data.datasets.download import RemoteFile
from rl.data.datasets.error import DatasetError
from rl.data.datasets.inert_pickle import read_inert
from rl.data.datasets.transitions import closed_episode, episode_rows
from rl.data.storages.tensor_storage import TensorStorage

__all__ = ["GenDGRLExperienceReplay"]

_TASKS = (
    *("bigfish", "bossfight", "caveflyer", "chaser", "climber", "coinrun", "dodgeball"),
    *("fruitbot", "heist", "jumper", "leaper", "maze", "miner", "ninja", "plunder", "starpilot"),
)
_KINDS = ("1M_E", "1M_S", "10M", "25M", "level_1_E", "level_1_S", "level_40_E", "level_40_S")


class GenDGRLExperienceReplay(BaseDatasetExperienceReplay):
    """A Gen-DGRL dataset.

    The episodes are pickled; they are read without unpickling, see `rl.data.datasets.inert_pickle`.

    Args:
        dataset_id: `"<task>-<kind>"`, such as `"bigfish-1M_E"`.
        batch_size: size of a batch.
        download: whether missing files may be downloaded; `"force"` downloads and converts anew.
        root: folder of the datasets; a tar put under `root/<dataset_id>/raw/` is used in place of a
            download.
        kwargs: see `TensorDictReplayBuffer`.

    Raises:
        NotRegisteredError: there is no such dataset; the message suggests the nearest.
        DatasetError: the tar cannot be downloaded, is damaged, or holds something else.

    Writes:
        observation: [n, ...] uint8, also under `"next"`.
        action: [n, ...].
        episode: [n] int64, number of the episode.
        done, terminated, truncated: [n, 1] bool, False.
        ("next", "reward"): [n, 1].
        ("next", "done"), ("next", "terminated"), ("next", "truncated"): [n, 1] bool.

    Example:
        >>> import io, tempfile
        >>> raw = Path(tempfile.mkdtemp()) / "maze-1M_E" / "raw"
        >>> raw.mkdir(parents=True)
        >>> episode = {"observations": np.zeros((3, 64, 64, 3), np.uint8), "actions": np.arange(2),
        ...     "rewards": np.ones(2), "dones": np.array([False, True])}
        >>> file = io.BytesIO()
        >>> np.save(file, np.array(episode, object))
        >>> with tarfile.open(raw / "maze.tar", "w") as tar:
        ...     entry = tarfile.TarInfo("maze/0.npy")
        ...     entry.size = file.tell()
        ...     tar.addfile(entry, io.BytesIO(file.getvalue()))
        >>> data = GenDGRLExperienceReplay("maze-1M_E", 2, root=raw.parents[1])
        >>> data[:]["next", "done"].squeeze(-1)
        tensor([False,  True])
    """

    source: ClassVar[str] = "gen_dgrl"
    base_url: ClassVar[str] = "https://dl.fbaipublicfiles.com/DGRL"
    available_datasets: ClassVar[tuple[str, ...]] = tuple(
        f"{task}-{kind}" for task in _TASKS for kind in _KINDS
    )

    def __init__(
        self,
        dataset_id: str,
        batch_size: int | None = None,
        *,
        download: bool | str = True,
        root: str | os.PathLike[str] | None = None,
        **kwargs: Any,
    ) -> None:
        if dataset_id not in self.available_datasets:
            raise NotRegisteredError(
                f"Gen-DGRL has no dataset `{dataset_id}`. "
                f"{nearest(dataset_id, self.available_datasets)}"
            )
        rows = self._obtain(dataset_id, root, download)
        super().__init__(storage=TensorStorage(rows), batch_size=batch_size, **kwargs)

    def _remote_files(self) -> list[RemoteFile]:
        task, _, kind = self.dataset_id.partition("-")
        return [RemoteFile(f"{self.base_url}/{kind}/{task}.tar.xz", f"{task}.tar.xz")]

    def _convert(self, files: list[Path], writer: ColumnWriter) -> None:
        number = 0
        for file in files:
            for name, data in _members(file):
                rows = _rows(_episode(data, f"`{name}` in `{file}`"), number)
                if rows is not None:
                    writer.append(rows)
                    number += 1


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the episodes of a tar, in its order; nothing is unpacked to the disk."""
    try:
        with tarfile.open(path) as tar:
            for member in tar:
                stream = tar.extractfile(member) if member.name.endswith(".npy") else None
                if stream is not None:
                    yield member.name, stream.read()
    except (tarfile.TarError, EOFError, OSError, lzma.LZMAError, zlib.error) as error:
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(
            f"`{path}` is no tar or is damaged ({error}). Remove it to download it anew."
        ) from error


def _episode(data: bytes, where: str) -> dict[str, Any]:
    """Return the dict that a `.npy` file with one object holds."""
    length = int.from_bytes(data[8:10], "little") + 10
    if data[:6] != npy.MAGIC_PREFIX or data[6] != 1 or b"'|O'" not in data[10:length]:
        raise DatasetError(f"{where} is no numpy file with an episode.")
    episode = read_inert(data[length:], where)
    missing = [k for k in ("observations", "actions", "rewards", "dones") if k not in episode]
    if missing:
        raise DatasetError(f"{where} lacks `{missing[0]}`; it holds {sorted(episode)}.")
    return episode


def _rows(episode: dict[str, Any], number: int) -> dict[str, Any] | None:
    states, steps, terminated = closed_episode(
        {"observation": np.asarray(episode["observations"])},
        {"action": np.asarray(episode["actions"]), "reward": np.asarray(episode["rewards"])},
        episode["dones"],
    )
    if not len(terminated):
        return None
    return episode_rows(
        states=states,
        terminated=terminated,
        truncated=np.zeros_like(terminated),
        episode=number,
        **steps,
    )
