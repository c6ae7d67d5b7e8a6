"""RoboSet: simulated runs of RoboHive (Kumar et al., 2023).

An HDF5 file holds the trials of one seed, as groups `Trial0`, `Trial1`, ... with `observations`,
`actions`, `rewards`, `time` and `env_infos`, one row per step.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from rl.core.errors import NotRegisteredError, nearest
from rl.core.optional import optional
from rl.data.datasets.base import BaseDatasetExperienceReplay
from rl.data.datasets.columns import ColumnWriter
from rl.data.datasets.download import RemoteFile
from rl.data.datasets.error import DatasetError, DatasetNotFoundError
from rl.data.datasets.hosts import HubRepository
from rl.data.datasets.transitions import closed_episode, episode_rows
from rl.data.samplers.base import Sampler
from rl.data.storages.tensor_storage import TensorStorage
from rl.data.writers.base import Writer

__all__ = ["RobosetExperienceReplay"]

h5py = optional("h5py", extra="rl-data[roboset]")

_TASKS = tuple(f"FK1_{t}_v2d-v4" for t in ("Knob1OnRandom", "Knob2OffRandom", "LdoorOpenRandom"))
_TASKS = (*_TASKS, "FK1_MicroOpenRandom_v2d-v4", "FK1_SdoorOpenRandom_v2d-v4")
_DAPG = tuple(f"{task}_v2d-v1" for task in ("door", "hammer", "pen", "relocate"))
_ENDS = ("done", "dones", "terminated")


class RobosetExperienceReplay(BaseDatasetExperienceReplay):
    """A RoboSet dataset.

    What followed the last step of a trial is not in the files: after a step that terminated it is
    zero, otherwise the step is left out and the one before marked truncated.

    Args:
        dataset_id: folder in the repository, such as `"DAPG(expert)/door_v2d-v1"`.
        batch_size: size of a batch.
        root: folder of the datasets; files put under `root/<dataset_id>/raw/` are used in place of
            a download.
        download: whether missing files may be downloaded; `"force"` downloads and converts anew.
        sampler: which rows make a batch, random ones by default.
        writer: an `ImmutableDatasetWriter` by default.
        collate_fn: applied to batches.
        pin_memory: whether batches are put in pinned memory.
        prefetch: number of batches prepared ahead.
        transform: applied to batches.
        split_trajs: whether a row is a trajectory, padded to the longest, with `"mask"`.

    Raises:
        NotRegisteredError: there is no such dataset; the message suggests the nearest.
        DatasetError: the files cannot be downloaded, are damaged, or are of another layout.

    Writes:
        observation: [n, ...], also under `"next"`.
        action: [n, ...].
        episode: [n] int64, number of the trial, counted over all files.
        seed: [n] int64, number of the file.
        time: [n], if the files have it.
        info: nested [n, ...], also under `"next"`, if the files have some.
        done, terminated, truncated: [n, 1] bool, False.
        ("next", "reward"): [n, 1].
        ("next", "done"), ("next", "terminated"), ("next", "truncated"): [n, 1] bool.

    Example:
        >>> import h5py, tempfile
        >>> raw = Path(tempfile.mkdtemp()) / "DAPG(expert)" / "door_v2d-v1" / "raw"
        >>> raw.mkdir(parents=True)
        >>> with h5py.File(raw / "door_0.h5", "w") as file:
        ...     trial = file.create_group("Trial0")
        ...     trial["observations"], trial["actions"] = np.zeros((3, 4)), np.zeros((3, 2))
        ...     trial["rewards"] = np.arange(3.0)
        >>> name = "DAPG(expert)/door_v2d-v1"
        >>> data = RobosetExperienceReplay(name, 2, root=raw.parents[2])
        >>> data[:]["next", "truncated"].squeeze(-1)
        tensor([False,  True])
    """

    source: ClassVar[str] = "roboset"
    repository: ClassVar[HubRepository] = HubRepository("jdvakil/RoboSet_Sim")
    available_datasets: ClassVar[tuple[str, ...]] = (
        *(f"DAPG({kind})/{task}" for kind in ("expert", "human") for task in _DAPG),
        *(f"FK1-v4(expert)/{task}" for task in _TASKS),
        "FK1-v4(human)/human_demos_by_playdata",
        *(f"FK1-v4(human)/human_demos_by_task/{task}" for task in _TASKS),
        "FK1-v4(human)/human_demos_by_task/human_demo_singleTask_Fixed-v4",
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
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        prefetch: int | None = None,
        transform: Any = None,  # noqa: ANN401 (a transform, module or function)
        split_trajs: bool = False,
    ) -> None:
        if dataset_id not in self.available_datasets:
            raise NotRegisteredError(
                f"RoboSet has no dataset `{dataset_id}`. "
                f"{nearest(dataset_id, self.available_datasets)}"
            )
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

    def _remote_files(self) -> list[RemoteFile]:
        listed = self.repository.files(self.dataset_id)
        found = [file for file in listed if file.path.endswith((".h5", ".hdf5"))]
        if not found:
            raise DatasetNotFoundError(
                f"`{self.repository.url(self.dataset_id)}` holds no HDF5 file."
            )
        return found

    def _convert(self, files: list[Path], writer: ColumnWriter) -> None:
        number = 0
        for seed, file in enumerate(sorted(files)):
            for trial in _trials(file):
                rows = _rows(trial, number, seed)
                if rows is not None:
                    writer.append(rows)
                    number += 1


def _trials(path: Path) -> Iterator[dict[str, Any]]:
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise DatasetError(
            f"`{path}` is no HDF5 file or is damaged ({error}). Remove it to download it anew."
        ) from error
    with file:
        names = [name for name in file if name.startswith("Trial")]
        for name in sorted(names, key=lambda name: int(name.removeprefix("Trial"))):
            trial = _read(file[name])
            missing = [k for k in ("observations", "actions", "rewards") if k not in trial]
            if missing:
                raise DatasetError(
                    f"`{path}`: `{name}` lacks `{missing[0]}`; it holds {sorted(trial)}. Is it a "
                    "RoboSet file?"
                )
            yield trial


def _read(node: Any) -> Any:  # noqa: ANN401
    if isinstance(node, Mapping):
        return {key: _read(value) for key, value in node.items()}
    return node[()]


def _rows(trial: dict[str, Any], number: int, seed: int) -> dict[str, Any] | None:
    count = len(trial["actions"])
    known = next((trial[key] for key in _ENDS if key in trial), np.zeros(count, bool))
    states = {"observation": trial["observations"]}
    infos = _per_step(trial.get("env_infos", {}), len(trial["observations"]))
    if infos:
        states["info"] = infos
    steps = {"action": trial["actions"], "reward": trial["rewards"]}
    if "time" in trial:
        steps["time"] = trial["time"][:count]
    states, steps, terminated = closed_episode(states, steps, known[:count])
    if not len(terminated):
        return None
    extra = {"seed": np.full(len(terminated), seed, np.int64)}
    if "time" in steps:
        extra["time"] = steps.pop("time")
    return episode_rows(
        states=states,
        terminated=terminated,
        truncated=np.zeros_like(terminated),
        episode=number,
        extra=extra,
        **steps,
    )


def _per_step(infos: Mapping[str, Any], count: int) -> dict[str, Any]:
    """Return the numeric entries that have one row per observation."""
    found: dict[str, Any] = {}
    for key, value in infos.items():
        if isinstance(value, Mapping):
            inner = _per_step(value, count)
            if inner:
                found[key] = inner
        elif np.ndim(value) and len(value) == count and value.dtype.kind in "biuf":
            found[key] = value
    return found
