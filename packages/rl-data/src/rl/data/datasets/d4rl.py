"""D4RL: the HDF5 files of "D4RL: Datasets for Deep Data-Driven RL" (Fu et al., 2020)."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from rl.core.errors import MissingDependencyError, NotRegisteredError, nearest
from rl.core.optional import is_module_available, optional
from rl.data.datasets.base import BaseDatasetExperienceReplay
from rl.data.datasets.columns import ColumnWriter
from rl.data.datasets.d4rl_files import D4RL_FILES
from rl.data.datasets.download import RemoteFile
from rl.data.datasets.error import DatasetError
from rl.data.datasets.transitions import as_column, done_flags
from rl.data.samplers.base import Sampler
from rl.data.storages.tensor_storage import TensorStorage
from rl.data.writers.base import Writer

__all__ = ["D4RLExperienceReplay"]

h5py = optional("h5py", extra="rl-data[d4rl]")

_CHUNK = 50_000
_ARRAYS = {"observations", "actions", "rewards", "terminals", "timeouts", "next_observations"}


class D4RLExperienceReplay(BaseDatasetExperienceReplay):
    """A D4RL dataset.

    The files hold the observation before each step, rarely the one after. The last observation of
    an episode is therefore unknown unless the file has `next_observations`:

    - after a step that terminated it is zero, and no value estimator reads it;
    - the last step of an episode that was cut is left out, and the step before, whose next
      observation is known, is marked truncated. So no value is bootstrapped from an observation
      that is not there. `terminate_on_end=True` keeps such steps and marks them terminated.

    Args:
        dataset_id: name of the dataset, such as `"maze2d-open-v0"`.
        batch_size: size of a batch.
        sampler: which rows make a batch, random ones by default.
        writer: an `ImmutableDatasetWriter` by default.
        collate_fn: applied to batches.
        pin_memory: whether batches are put in pinned memory.
        prefetch: number of batches prepared ahead.
        transform: applied to batches.
        split_trajs: whether a row is a trajectory, padded to the longest, with `"mask"`.
        from_env: whether the arrays come from the environment of an installed `d4rl`. By default
            they do not.
        use_truncated_as_done: whether `("next", "done")` is the union of terminated and truncated,
            or terminated alone.
        direct_download: whether the file is downloaded without `d4rl`, as is the default; False
            takes the arrays from `d4rl.qlearning_dataset`.
        terminate_on_end: see above.
        download: whether missing files may be downloaded; `"force"` downloads and converts anew.
        root: folder of the datasets; put a file under `root/<dataset_id>/raw/` to use it.
        env_kwargs: passed to `d4rl.qlearning_dataset`.

    Raises:
        NotRegisteredError: there is no such dataset; the message suggests the nearest.
        MissingDependencyError: `d4rl` is asked for and not installed.
        DatasetError: the file cannot be downloaded or is not of D4RL's layout.

    Writes:
        observation: [n, ...] as in the file.
        action: [n, ...].
        episode: [n] int64, number of the episode.
        info: nested entries [n, ...], if the file has some; also under `"next"`.
        done, terminated, truncated: [n, 1] bool, False.
        ("next", "observation"): [n, ...].
        ("next", "reward"): [n, 1].
        ("next", "done"), ("next", "terminated"), ("next", "truncated"): [n, 1] bool.

    Example:
        >>> import h5py, tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> (root / "maze2d-open-v0" / "raw").mkdir(parents=True)
        >>> with h5py.File(root / "maze2d-open-v0" / "raw" / "maze2d-open-sparse.hdf5", "w") as f:
        ...     f["observations"], f["actions"] = np.zeros((4, 4)), np.zeros((4, 2))
        ...     f["rewards"], f["terminals"] = np.zeros(4), np.array([0, 1, 0, 0])
        ...     f["timeouts"] = np.array([0, 0, 0, 1])
        >>> data = D4RLExperienceReplay("maze2d-open-v0", 2, root=root)
        >>> data[:]["next", "truncated"].squeeze(-1)
        tensor([False, False,  True])
    """

    source: ClassVar[str] = "d4rl"
    base_url: ClassVar[str] = "http://rail.eecs.berkeley.edu/datasets/offline_rl"
    available_datasets: ClassVar[tuple[str, ...]] = tuple(sorted(D4RL_FILES))

    def __init__(  # noqa: PLR0913
        self,
        dataset_id: str,
        batch_size: int | None = None,
        sampler: Sampler | None = None,
        writer: Writer | None = None,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        prefetch: int | None = None,
        transform: Any = None,  # noqa: ANN401 (a transform, module or function)
        split_trajs: bool = False,
        from_env: bool | None = None,
        use_truncated_as_done: bool = True,
        direct_download: bool | None = None,
        terminate_on_end: bool = False,
        download: bool | str = True,
        root: str | os.PathLike[str] | None = None,
        **env_kwargs: Any,
    ) -> None:
        if from_env and direct_download:
            raise ValueError(
                "`from_env=True` takes the data from an environment, `direct_download=True` does "
                "not: pass one of the two."
            )
        self._arrays = _from_env if from_env else _qlearning if direct_download is False else None
        if env_kwargs and self._arrays is not _qlearning:
            raise TypeError(
                f"{sorted(env_kwargs)} are for `d4rl.qlearning_dataset`, which is called with "
                "`direct_download=False` only."
            )
        self._env_kwargs = env_kwargs
        self._rules = _Rules(terminate_on_end, use_truncated_as_done)
        self._variant = self._rules.name() + ("" if self._arrays is None else self._arrays.__name__)
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
        return super()._local_files() if self._arrays is None else []

    def _fetch_files(self, allowed: bool) -> list[Path]:
        return super()._fetch_files(allowed) if self._arrays is None else []

    def _remote_files(self) -> list[RemoteFile]:
        if self.dataset_id not in D4RL_FILES:
            raise NotRegisteredError(
                f"D4RL has no dataset `{self.dataset_id}`. {nearest(self.dataset_id, D4RL_FILES)}"
            )
        path = D4RL_FILES[self.dataset_id]
        return [RemoteFile(f"{self.base_url}/{path}", Path(path).name)]

    def _convert(self, files: list[Path], writer: ColumnWriter) -> None:
        if self._arrays is not None:
            arrays = self._arrays(self.dataset_id, self._rules.terminate_on_end, self._env_kwargs)
            _write(arrays, self._rules, writer, f"the arrays of `{self.dataset_id}`")
            return
        if len(files) != 1:
            raise DatasetError(
                f"`{self.data_path / 'raw'}` holds {len(files)} files, expected the one HDF5 file "
                f"of `{self.dataset_id}`."
            )
        try:
            file = h5py.File(files[0], "r")
        except OSError as error:
            raise DatasetError(
                f"`{files[0]}` is no HDF5 file or is damaged ({error}). Remove it to download it "
                "anew."
            ) from error
        with file:
            _write(_flat(file), self._rules, writer, f"`{files[0]}`")


@dataclass(frozen=True)
class _Rules:
    terminate_on_end: bool
    use_truncated_as_done: bool

    def name(self) -> str:
        kept = "-terminated" if self.terminate_on_end else ""
        return kept + ("" if self.use_truncated_as_done else "-terminated-only")


def _flat(group: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the arrays of a file by their path."""
    found: dict[str, Any] = {}
    for key, value in group.items():
        if isinstance(value, Mapping):
            found.update(_flat(value, f"{prefix}{key}/"))
        else:
            found[prefix + key] = value
    return found


def _write(arrays: Mapping[str, Any], rules: _Rules, writer: ColumnWriter, where: str) -> None:
    missing = sorted({"observations", "actions", "rewards", "terminals"} - arrays.keys())
    if missing:
        raise DatasetError(
            f"{where} lacks `{missing[0]}`; it holds {sorted(arrays)}. Is it a D4RL file?"
        )
    ends = _Ends.of(arrays, rules)
    infos = _infos(arrays, len(ends.stop))
    for key in sorted(arrays.keys() - _ARRAYS - infos.keys()):
        writer.metadata[key] = _plain(arrays[key])
    for rows in _chunks(arrays, infos, ends, rules):
        writer.append(rows)


@dataclass
class _Ends:
    """What is known of every row of the file: flags, and whether it is kept."""

    terminated: np.ndarray
    truncated: np.ndarray
    stop: np.ndarray
    keep: np.ndarray

    @classmethod
    def of(cls, arrays: Mapping[str, Any], rules: _Rules) -> _Ends:
        terminated = np.asarray(arrays["terminals"]).reshape(-1) != 0
        if "timeouts" in arrays:
            truncated = (np.asarray(arrays["timeouts"]).reshape(-1) != 0) & ~terminated
        else:
            truncated = np.zeros_like(terminated)
        if len(terminated) and not terminated[-1]:
            truncated[-1] = True  # the recording stopped here
        keep = np.ones_like(terminated)
        stop = terminated | truncated
        if "next_observations" not in arrays:
            if rules.terminate_on_end:
                terminated, truncated = stop.copy(), np.zeros_like(stop)
            else:
                keep = ~truncated
                # the step before a step that is left out, unless that begins an episode
                before = np.append(truncated[1:], False) & ~stop
                truncated = truncated | before
        return cls(terminated, truncated, stop, keep)


def _chunks(
    arrays: Mapping[str, Any], infos: Mapping[str, Any], ends: _Ends, rules: _Rules
) -> Iterator[dict[str, Any]]:
    count = len(ends.stop)
    states = {"observations": arrays["observations"], **infos}
    episode_of = np.concatenate([[0], np.cumsum((ends.terminated | ends.truncated) & ends.keep)])
    for start in range(0, count, _CHUNK):
        span = slice(start, min(start + _CHUNK, count))
        keep = ends.keep[span]
        if not keep.any():
            continue
        now = {key: np.asarray(value[span]) for key, value in states.items()}
        later = {
            key: _next(value, now[key], span, ends.stop[span]) for key, value in states.items()
        }
        if "next_observations" in arrays:
            later["observations"] = np.asarray(arrays["next_observations"][span])
        flags = done_flags(ends.terminated[span][keep], ends.truncated[span][keep])
        if not rules.use_truncated_as_done:
            flags["done"] = flags["terminated"].copy()
        none = np.zeros((int(keep.sum()), 1), bool)
        yield {
            **_named(now, keep),
            "action": np.asarray(arrays["actions"][span])[keep],
            "episode": episode_of[:-1][span][keep].astype(np.int64),
            "done": none,
            "terminated": none,
            "truncated": none,
            "next": {
                **_named(later, keep),
                "reward": as_column(arrays["rewards"][span])[keep],
                **flags,
            },
        }


def _next(array: Any, now: np.ndarray, span: slice, stop: np.ndarray) -> np.ndarray:  # noqa: ANN401
    """Return the entries one row later, zero where an episode stops."""
    later = np.zeros_like(now)
    later[:-1] = now[1:]
    if span.stop < len(array):
        later[-1] = array[span.stop]
    later[stop] = 0
    return later


def _named(states: Mapping[str, np.ndarray], keep: np.ndarray) -> dict[str, Any]:
    result: dict[str, Any] = {"observation": states["observations"][keep]}
    for key, value in states.items():
        if key.startswith("infos/"):
            place = result.setdefault("info", {})
            *groups, name = key.split("/")[1:]
            for group in groups:
                place = place.setdefault(group, {})
            place[name] = value[keep]
    return result


def _infos(arrays: Mapping[str, Any], count: int) -> dict[str, Any]:
    return {
        key: value
        for key, value in arrays.items()
        if key.startswith("infos/") and len(value.shape) and value.shape[0] == count
    }


def _plain(value: Any) -> Any:  # noqa: ANN401
    array = np.asarray(value)
    if array.ndim == 0 and isinstance(array[()], bytes):
        return array[()].decode(errors="replace")
    return str(array) if array.dtype.hasobject or array.dtype.kind in "SU" else array


def _d4rl_env(dataset_id: str) -> tuple[Any, Any]:
    if not is_module_available("d4rl", "gym"):
        raise MissingDependencyError(
            "`from_env=True` and `direct_download=False` need D4RL, which is not on PyPI: `pip "
            "install git+https://github.com/Farama-Foundation/D4RL`. Or leave both out: the file "
            "is then downloaded without it."
        )
    module = importlib.import_module("d4rl")
    return module, importlib.import_module("gym").make(dataset_id)


def _from_env(dataset_id: str, terminate_on_end: bool, kwargs: dict[str, Any]) -> dict[str, Any]:
    return _d4rl_env(dataset_id)[1].get_dataset()


def _qlearning(dataset_id: str, terminate_on_end: bool, kwargs: dict[str, Any]) -> dict[str, Any]:
    module, env = _d4rl_env(dataset_id)
    return module.qlearning_dataset(env, terminate_on_end=terminate_on_end, **kwargs)
