"""The files of Minari datasets, HDF5 and Arrow, as episodes.

Layout: https://minari.farama.org/content/dataset_standards. An episode has one observation more
than steps, and as many infos if any.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rl.core.optional import optional
from rl.data.datasets.error import DatasetError

__all__ = ["MinariEpisode", "read_episodes", "read_metadata"]

h5py = optional("h5py", extra="rl-data[minari]")
ipc = optional("pyarrow.ipc", extra="rl-data[minari]")
image = optional("PIL.Image", extra="rl-data[minari]")

Space = Mapping[str, Any] | None
_ENTRIES = ("observations", "actions", "rewards", "terminations", "truncations")


@dataclass
class MinariEpisode:
    """One episode.

    Attributes:
        observations: nest of arrays or lists of strings, `[n + 1, ...]`.
        actions: nest of `[n, ...]`.
        rewards: `[n]`.
        terminations: `[n]`.
        truncations: `[n]`.
        infos: nest of `[n + 1, ...]`, or `[n, ...]` for what is told after steps only.
    """

    observations: Any
    actions: Any
    rewards: Any
    terminations: Any
    truncations: Any
    infos: Any


def read_metadata(folder: Path) -> dict[str, Any]:
    """Return the metadata of a dataset, with its spaces parsed.

    Raises:
        DatasetError: there is none, or it is damaged.
    """
    path = folder / "metadata.json"
    try:
        found = json.loads(path.read_text())
        for key in ("observation_space", "action_space"):
            if isinstance(found.get(key), str):
                found[key] = json.loads(found[key])
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"`{path}` cannot be read ({error}). Pass `download='force'` to fetch the dataset anew."
        ) from error
    return found


def read_episodes(folder: Path, metadata: Mapping[str, Any]) -> Iterator[MinariEpisode]:
    """Yield the episodes of a dataset in their order.

    Args:
        folder: the `data` folder of the dataset.
        metadata: what `read_metadata` returned.

    Raises:
        DatasetError: the format is unknown, or a file is damaged or of another layout.
    """
    known = {"hdf5": _hdf5, "arrow": _arrow}
    kind = metadata.get("data_format", "hdf5")
    if kind not in known:
        raise DatasetError(f"`{folder}` has data format `{kind}`, expected one of {sorted(known)}.")
    spaces = metadata.get("observation_space"), metadata.get("action_space")
    yield from known[kind](folder, *spaces)


def _hdf5(folder: Path, observation: Space, action: Space) -> Iterator[MinariEpisode]:
    path = folder / "main_data.hdf5"
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise _damaged(path, error) from error
    with file:
        for name in sorted(file, key=lambda name: int(name.rpartition("_")[2])):
            group = file[name]
            missing = [entry for entry in _ENTRIES if entry not in group]
            if missing:
                raise _damaged(path, f"`{name}` lacks `{missing[0]}`")
            yield MinariEpisode(
                _from_hdf5(group["observations"], observation),
                _from_hdf5(group["actions"], action),
                *(group[entry][()] for entry in _ENTRIES[2:]),
                _from_hdf5(group["infos"], None) if "infos" in group else {},
            )


def _from_hdf5(node: Any, space: Space) -> Any:  # noqa: ANN401
    if isinstance(node, Mapping):
        names = sorted(node)
        return {
            _member(name): _from_hdf5(node[name], _subspace(space, _member(name))) for name in names
        }
    if h5py.check_string_dtype(node.dtype) is not None:
        return [str(text) for text in node.asstr()[()]]
    array = node[()]
    shape = _shape(space)
    # images are stored as JPEG, a row of bytes each; the rows may differ in length
    encoded = shape is not None and len(shape) == 3 and array.ndim == 2 and array.dtype == np.uint8
    if encoded or h5py.check_vlen_dtype(node.dtype) is not None:
        return np.stack([_decode(row.tobytes()) for row in array])
    return array


def _arrow(folder: Path, observation: Space, action: Space) -> Iterator[MinariEpisode]:
    folders = [path for path in folder.iterdir() if path.is_dir() and path.name.isdigit()]
    for path in sorted(folders, key=lambda path: int(path.name)):
        parts = sorted(path.glob("*.arrow"))
        try:
            steps = int(json.loads((path / "metadata.json").read_text())["total_steps"])
            tables = [ipc.open_file(str(part)).read_all() for part in parts]
        except (OSError, ValueError, KeyError) as error:
            raise _damaged(path, error) from error
        columns = {name: [] for name in tables[0].column_names} if tables else {}
        for table in tables:
            for name, chunks in columns.items():
                chunks += table[name].chunks
        missing = [entry for entry in _ENTRIES if entry not in columns]
        if missing:
            raise _damaged(path, f"it lacks `{missing[0]}`")
        # every column has one row per observation; the last of the others is padding
        yield MinariEpisode(
            _from_arrow(columns["observations"], observation),
            _cut(_from_arrow(columns["actions"], action), steps),
            *(_from_arrow(columns[entry], None)[:steps] for entry in _ENTRIES[2:]),
            _from_arrow(columns["infos"], None) if "infos" in columns else {},
        )


def _from_arrow(chunks: list[Any], space: Space) -> Any:  # noqa: ANN401
    kind = chunks[0].type
    name = str(kind)
    if name.startswith("struct"):
        return {
            _member(field.name): _from_arrow(
                [chunk.field(field.name) for chunk in chunks], _subspace(space, field.name)
            )
            for field in kind
        }
    if name in ("string", "large_string"):
        return [text for chunk in chunks for text in chunk.to_pylist()]
    if name in ("binary", "large_binary"):
        return np.stack([_decode(row) for chunk in chunks for row in chunk.to_pylist()])
    if name.startswith(("fixed_size_list", "list")):
        flat = np.concatenate([chunk.flatten().to_numpy(zero_copy_only=False) for chunk in chunks])
        shape = _shape(space) or (-1,)
        return flat.reshape(sum(map(len, chunks)), *shape)
    return np.concatenate([chunk.to_numpy(zero_copy_only=False) for chunk in chunks])


def _cut(nested: Any, count: int) -> Any:  # noqa: ANN401
    if isinstance(nested, Mapping):
        return {key: _cut(value, count) for key, value in nested.items()}
    return nested[:count]


def _member(name: str) -> str:
    """Return the name of a member of a tuple space: its number."""
    return name.removeprefix("_index_")


def _subspace(space: Space, name: str) -> Space:
    inner = None if space is None else space.get("subspaces")
    if isinstance(inner, list):
        return inner[int(name)]
    return None if inner is None else inner.get(name)


def _shape(space: Space) -> tuple[int, ...] | None:
    shape = None if space is None else space.get("shape")
    return tuple(shape) if isinstance(shape, list) and shape else None


def _decode(data: bytes) -> np.ndarray:
    with image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture)


def _damaged(path: Path, what: object) -> DatasetError:
    return DatasetError(
        f"`{path}` is damaged or not of Minari's layout: {what}. Pass `download='force'` to fetch "
        "the dataset anew."
    )
