"""Export of collected runs as Minari datasets."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tensordict import TensorDictBase
from tensordict.utils import NestedKey
from torch import Tensor

from rl.core.errors import MissingKeyError, ShapeError
from rl.core.optional import optional
from rl.core.specs import Composite, MultiOneHot, OneHot, TensorSpec
from rl.data.datasets.error import DatasetError
from rl.data.datasets.minari_spaces import space_of_data, space_of_spec
from rl.data.datasets.padding import trajectory_bounds

__all__ = ["to_minari"]

minari = optional("minari", extra="rl-data[minari]")


def to_minari(  # noqa: PLR0913
    data: TensorDictBase,
    dataset_id: str,
    *,
    observation_spec: TensorSpec | None = None,
    action_spec: TensorSpec | None = None,
    observation_key: NestedKey = "observation",
    action_key: NestedKey = "action",
    root: str | os.PathLike[str] | None = None,
    data_format: str = "hdf5",
    env_id: str | None = None,
    algorithm_name: str | None = None,
    author: str | None = None,
    author_email: str | None = None,
    code_permalink: str | None = None,
    description: str | None = None,
) -> Path:
    """Write collected transitions as a Minari dataset, which its library reads.

    A trajectory ends where `("next", "done")` is set, where its id changes and at the end of the
    data; one that ends without a flag is marked truncated. Rows of a `[B, T]` batch are exported
    one after the other, so a trajectory that goes on in a later batch should be exported with it:
    concatenate along time first.

    Args:
        data: transitions `[T]` or `[B, T]`, as collectors, rollouts and datasets give them.
        dataset_id: name of the dataset, such as `"CartPole/ppo-v0"`; it must not exist yet.
        observation_spec: spec of an observation; by default the space is guessed from the data
            (floats and integers without bounds, uint8 as 0 to 255, bool as bits).
        action_spec: spec of an action, by default guessed likewise. One-hot actions whose spec is
            given are written as the numbers that Minari's discrete spaces hold.
        observation_key: entry of the observation, a leaf or a nest.
        action_key: entry of the action.
        root: folder of Minari's datasets, by default `MINARI_DATASETS_PATH` or Minari's own.
        data_format: `"hdf5"` or `"arrow"`.
        env_id: gymnasium's name of the environment, kept in the dataset.
        algorithm_name: what collected the data.
        author: who did.
        author_email: their address.
        code_permalink: where the code is.
        description: what the dataset is.

    Returns:
        The folder of the dataset.

    Reads:
        observation_key: [*B, T, ...], also under `"next"`.
        action_key: [*B, T, ...].
        ("next", "reward"), ("next", "terminated"): [*B, T, 1].
        ("next", "truncated"): [*B, T, 1], if there.
        ("collector", "traj_ids") or "episode": [*B, T], if there.

    Raises:
        MissingKeyError: an entry is missing.
        ShapeError: `data` is neither `[T]` nor `[B, T]`.
        DatasetError: the dataset exists.
        MissingDependencyError: minari is not installed.

    Example:
        >>> import tempfile
        >>> from tensordict import TensorDict
        >>> x, no = torch.arange(4.0)[:, None], torch.zeros(3, 1, dtype=torch.bool)
        >>> steps = {"observation": x[1:], "reward": x[1:], "terminated": no, "done": no}
        >>> run = TensorDict({"observation": x[:3], "action": x[:3], "next": steps}, [3])
        >>> to_minari(run, "toy/run-v0", root=tempfile.mkdtemp()).name
        'run-v0'
    """
    rows = _flat(data, (observation_key, action_key))
    spaces = [
        space_of_data(rows.get(key)) if spec is None else space_of_spec(spec)
        for key, spec in ((observation_key, observation_spec), (action_key, action_spec))
    ]
    episodes = [
        _episode(number, rows[start : start + length], observation_key, action_key, action_spec)
        for number, (start, length) in enumerate(_bounds(data))
    ]
    told = {
        "algorithm_name": algorithm_name,
        "author": author,
        "author_email": author_email,
        "code_permalink": code_permalink,
        "description": description,
    }
    with _folder(root) as base, warnings.catch_warnings():
        folder = base / dataset_id
        if folder.exists():
            raise DatasetError(
                f"`{folder}` exists. Choose another version, or `minari delete {dataset_id}` first."
            )
        # minari warns about each of these that is left out
        warnings.simplefilter("ignore", UserWarning)
        minari.create_dataset_from_buffers(
            dataset_id=dataset_id,
            buffer=episodes,
            env=env_id,
            observation_space=spaces[0],
            action_space=spaces[1],
            data_format=data_format,
            jpeg_encoding=False,
            **told,
        )
    return folder


def _flat(data: TensorDictBase, keys: tuple[NestedKey, NestedKey]) -> TensorDictBase:
    """Return the entries that are exported, rows one after the other."""
    if data.ndim not in (1, 2):
        raise ShapeError(
            f"`data` has batch size {list(data.batch_size)}, expected [T] or [B, T]: reshape it."
        )
    observation, action = keys
    wanted = [observation, action, _in_next(observation), _in_next("reward")]
    for key in (*wanted, _in_next("terminated")):
        if data.get(key, None) is None:
            raise MissingKeyError(
                f"`{key}` is missing; the keys are {sorted(map(str, data.keys(True, True)))}. Pass "
                "transitions as rollouts and collectors give them, and `observation_key` and "
                "`action_key` where the entries are called otherwise."
            )
    return data.reshape(-1)


def _bounds(data: TensorDictBase) -> Iterator[tuple[int, int]]:
    """Yield first row and length of each trajectory of the flat data."""
    batches = data.unbind(0) if data.ndim == 2 else (data,)
    ids = next((k for k in (("collector", "traj_ids"), "episode") if k in data.keys(True)), None)
    offset = 0
    for batch in batches:
        known = batch.select(("next", "done"), ("next", "terminated"), strict=False).clone()
        for name in ("terminated", "truncated"):
            flag = batch.get(("next", name), None)
            if flag is not None:
                done = known.get(("next", "done"), torch.zeros_like(flag))
                known.set(("next", "done"), done | flag)
        if ids is not None:
            known.set("episode", batch.get(ids).reshape(-1))
        starts, lengths = trajectory_bounds(known)
        for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
            yield offset + start, length
        offset += len(batch)


def _episode(  # noqa: ANN202 (a class of an optional library)
    number: int,
    rows: TensorDictBase,
    observation: NestedKey,
    action: NestedKey,
    action_spec: TensorSpec | None,
):
    first, last = rows.get(observation), rows.get(_in_next(observation))
    flags = {
        name: rows.get(("next", name), torch.zeros(len(rows), 1, dtype=torch.bool))
        for name in ("terminated", "truncated")
    }
    terminations, truncations = (_vector(flags[n]).copy() for n in ("terminated", "truncated"))
    truncations[-1] |= not terminations[-1]
    return minari.data_collector.EpisodeBuffer(
        id=number,
        observations=_arrays(torch.cat([first, last[-1:]])),
        actions=_arrays(_numbered(rows.get(action), action_spec)),
        rewards=_vector(rows.get(("next", "reward"))).tolist(),
        terminations=terminations.tolist(),
        truncations=truncations.tolist(),
    )


def _numbered(action: Any, spec: TensorSpec | None) -> Any:  # noqa: ANN401
    """Return one-hot actions as numbers, others as they are."""
    if isinstance(spec, Composite):
        return {key: _numbered(action.get(key), spec[key]) for key in spec.keys()}  # noqa: SIM118
    if isinstance(spec, MultiOneHot):
        parts = action.split([int(n) for n in spec.nvec], -1)
        return torch.stack([part.int().argmax(-1) for part in parts], -1)
    return action.int().argmax(-1) if isinstance(spec, OneHot) else action


def _arrays(nested: Any) -> Any:  # noqa: ANN401
    if isinstance(nested, Tensor):
        return nested.detach().cpu().numpy()
    return {key: _arrays(nested.get(key)) for key in sorted(nested.keys())}


def _vector(values: Tensor) -> np.ndarray:
    return values.detach().cpu().numpy().reshape(len(values))


def _in_next(key: NestedKey) -> tuple[str, ...]:
    return ("next", *((key,) if isinstance(key, str) else key))


@contextmanager
def _folder(root: str | os.PathLike[str] | None) -> Iterator[Path]:
    """Let Minari write below `root`; yield where it does."""
    name = "MINARI_DATASETS_PATH"
    before = os.environ.get(name)
    if root is not None:
        os.environ[name] = str(root)
    try:
        yield Path(os.environ.get(name) or Path.home() / ".minari" / "datasets")
    finally:
        if root is not None:
            os.environ.pop(name)
            if before is not None:
                os.environ[name] = before
