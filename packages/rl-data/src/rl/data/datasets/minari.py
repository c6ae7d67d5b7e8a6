"""Minari: the datasets of the Farama Foundation, and those that users make with its library."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from rl.data.datasets.base import BaseDatasetExperienceReplay
from rl.data.datasets.columns import ColumnWriter
from rl.data.datasets.download import RemoteFile
from rl.data.datasets.error import DatasetError, DatasetNotFoundError
from rl.data.datasets.hosts import Bucket
from rl.data.datasets.listing import Listing
from rl.data.datasets.minari_files import MinariEpisode, read_episodes, read_metadata
from rl.data.datasets.transitions import episode_rows, map_nested
from rl.data.samplers.base import Sampler
from rl.data.storages.tensor_storage import TensorStorage
from rl.data.writers.base import Writer

__all__ = ["MinariExperienceReplay"]


def _remote_ids(cls: type[MinariExperienceReplay]) -> list[str]:
    names = [file.path for file in cls.bucket.files("", glob="**/data/metadata.json")]
    return sorted(name.removesuffix("/data/metadata.json") for name in names)


class MinariExperienceReplay(BaseDatasetExperienceReplay):
    """A Minari dataset, from the Farama Foundation's server or from this machine.

    Dict and tuple observations become nested entries (members of tuples by number), texts stay
    texts, images that are stored as JPEG are decoded.

    Args:
        dataset_id: name of the dataset, such as `"D4RL/door/human-v2"`.
        batch_size: size of a batch.
        root: folder of the datasets; files put under `root/<dataset_id>/raw/` (the dataset's
            `data` folder) are used in place of a download.
        download: whether missing files may be downloaded; `"force"` downloads and converts anew.
        sampler: which rows make a batch, random ones by default.
        writer: an `ImmutableDatasetWriter` by default.
        collate_fn: applied to batches.
        pin_memory: whether batches are put in pinned memory.
        prefetch: number of batches prepared ahead.
        transform: applied to batches.
        split_trajs: whether a row is a trajectory, padded to the longest, with `"mask"`.
        load_from_local_minari: whether the files are those of Minari's own folder, which is
            `~/.minari/datasets` or what `MINARI_DATASETS_PATH` says; nothing is downloaded.

    Raises:
        DatasetNotFoundError: there is no such dataset, or not in Minari's folder.
        DatasetError: the files cannot be downloaded, or are damaged.

    Writes:
        observation: [n, ...], nested as the observation space.
        action: [n, ...], nested as the action space.
        episode: [n] int64, number of the episode.
        info: nested [n, ...], if infos were recorded; also under `"next"`.
        done, terminated, truncated: [n, 1] bool, False.
        ("next", "observation"): [n, ...].
        ("next", "reward"): [n, 1].
        ("next", "done"), ("next", "terminated"), ("next", "truncated"): [n, 1] bool.

    Example:
        >>> import h5py, tempfile
        >>> raw = Path(tempfile.mkdtemp()) / "toy-v0" / "raw"
        >>> raw.mkdir(parents=True)
        >>> _ = (raw / "metadata.json").write_text('{"data_format": "hdf5"}')
        >>> with h5py.File(raw / "main_data.hdf5", "w") as file:
        ...     episode = file.create_group("episode_0")
        ...     episode["observations"], episode["actions"] = [0.0, 1.0, 2.0], [0, 1]
        ...     episode["rewards"] = [0.5, 1.0]
        ...     episode["terminations"], episode["truncations"] = [False, True], [False, False]
        >>> data = MinariExperienceReplay("toy-v0", 2, root=raw.parents[1])
        >>> data[:]["next", "observation"]
        tensor([1., 2.], dtype=torch.float64)
    """

    source: ClassVar[str] = "minari"
    bucket: ClassVar[Bucket] = Bucket("minari-remote")
    available_datasets = Listing(_remote_ids, "Return the names on the server, which is asked.")

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
        load_from_local_minari: bool = False,
    ) -> None:
        self._local = load_from_local_minari
        self._variant = "-local" if load_from_local_minari else ""
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

    def _local_files(self) -> list[Path]:
        if not self._local:
            return super()._local_files()
        base = os.environ.get("MINARI_DATASETS_PATH") or Path.home() / ".minari" / "datasets"
        folder = Path(base) / self.dataset_id / "data"
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        if not files:
            raise DatasetNotFoundError(
                f"Minari's folder has no `{folder}`. Check `minari list local`, set "
                "`MINARI_DATASETS_PATH`, or leave `load_from_local_minari` out to download it."
            )
        return files

    def _remote_files(self) -> list[RemoteFile]:
        files = self.bucket.files(f"{self.dataset_id}/data/")
        if not files:
            raise DatasetNotFoundError(
                f"`{self.bucket.url(self.dataset_id)}` holds no dataset. See "
                "`MinariExperienceReplay.available_datasets`, or pass "
                "`load_from_local_minari=True` for one of your own."
            )
        return files

    def _convert(self, files: list[Path], writer: ColumnWriter) -> None:
        described = [path for path in files if path.name == "metadata.json"]
        if not described:
            raise DatasetError(f"`{files[0].parent}` lacks `metadata.json`: is it Minari's `data`?")
        # episodes of Arrow datasets have one too, further below
        folder = min(described, key=lambda path: len(path.parts)).parent
        writer.metadata = read_metadata(folder)
        for number, episode in enumerate(read_episodes(folder, writer.metadata)):
            if len(episode.rewards):
                writer.append(_rows(episode, number))


def _rows(episode: MinariEpisode, number: int) -> dict[str, Any]:
    count = len(episode.rewards)
    states = {"observation": episode.observations}
    known = dict(_entries(episode.infos, count + 1))
    if known:
        states["info"] = known
    rows = episode_rows(
        states=states,
        action=episode.actions,
        reward=episode.rewards,
        terminated=episode.terminations,
        truncated=episode.truncations,
        episode=number,
    )
    # what is told after steps only belongs to the results of steps
    later = dict(_entries(episode.infos, count))
    if later:
        rows["next"]["info"] = _merged(rows["next"].get("info", {}), later)
    return rows


def _entries(infos: Mapping[str, Any], count: int) -> Iterator[tuple[str, Any]]:
    """Yield the entries, and groups of entries, that have `count` rows."""
    for key, value in infos.items():
        if isinstance(value, Mapping):
            inner = dict(_entries(value, count))
            if inner:
                yield key, inner
        elif len(value) == count:
            yield key, value


def _merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    result = map_nested(lambda leaf: leaf, one)
    for key, value in other.items():
        inner = result.get(key)
        result[key] = _merged(inner, value) if isinstance(inner, dict) else value
    return result
