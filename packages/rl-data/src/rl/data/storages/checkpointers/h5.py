"""Trajectories in an HDF5 file, a group for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from rl.core.optional import optional
from rl.data.storages.checkpointers.compact import CompactCheckpointer
from rl.data.storages.checkpointers.nested import Nested2TED, TED2Nested

__all__ = ["H5Combine", "H5Split", "H5StorageCheckpointer"]

h5py = optional("h5py", extra="rl-data[h5]")

_PREFIX = "traj_"


class H5Split:
    """Splits what `TED2Nested` made into one TensorDict per trajectory.

    Returns (of a call with a TensorDict `[M]` of nested tensors):
        A TensorDict whose entries `"traj_0"`, `"traj_1"`, ... hold the tensors of a trajectory.

    Example:
        >>> x = torch.nested.nested_tensor_from_jagged(torch.arange(3), torch.tensor([0, 2, 3]))
        >>> H5Split()(TensorDict({"x": x}, [2]))["traj_0", "x"]
        tensor([0, 1])
    """

    def __call__(self, nested: TensorDictBase) -> TensorDict:
        """Split the trajectories."""
        count = nested.shape[0]
        parts: list[dict[Any, Tensor]] = [{} for _ in range(count)]
        for key, leaf in nested.items(include_nested=True, leaves_only=True):
            for part, value in zip(parts, leaf.unbind(), strict=True):
                part[key] = value
        made = TensorDict({})
        for number, part in enumerate(parts):
            group = TensorDict({})
            for key, value in part.items():
                group[key] = value
            made[f"{_PREFIX}{number}"] = group
        return made


class H5Combine:
    """The inverse of `H5Split`.

    Example:
        >>> split = TensorDict({"traj_0": {"x": torch.arange(2)}, "traj_1": {"x": torch.ones(1)}})
        >>> [part.shape[0] for part in H5Combine()(split)["x"].unbind()]
        [2, 1]
    """

    def __call__(self, split: TensorDictBase) -> TensorDict:
        """Nest the trajectories."""
        names = sorted(split.keys(), key=lambda name: int(name.removeprefix(_PREFIX)))
        groups = [split[name] for name in names]
        nested = TensorDict({}, batch_size=[len(groups)])
        for key in groups[0].keys(include_nested=True, leaves_only=True):
            values = [group[key] for group in groups]
            lengths = torch.tensor([0, *(len(value) for value in values)])
            nested[key] = torch.nested.nested_tensor_from_jagged(
                torch.cat(values), lengths.cumsum(0)
            )
        return nested


class H5StorageCheckpointer(CompactCheckpointer):
    """Saves trajectories to an HDF5 file, each observation once: a group per trajectory.

    Args:
        checkpoint_file: name of the file.
        done_keys: last parts of the names of done flags, which are not chained.
        reward_keys: the same for rewards.
        h5_kwargs: passed to `h5py.Group.create_dataset`, such as `{"compression": "gzip"}`.

    Raises:
        MissingDependencyError: at first use, h5py is not installed.

    Example:
        >>> H5StorageCheckpointer(h5_kwargs={"compression": "gzip"}).format
        'h5'
    """

    format = "h5"

    def __init__(
        self,
        *,
        checkpoint_file: str = "checkpoint.h5",
        done_keys: Sequence[str] | None = None,
        reward_keys: Sequence[str] | None = None,
        h5_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(done_keys, reward_keys)
        self.checkpoint_file = checkpoint_file
        self.h5_kwargs = dict(h5_kwargs or {})

    def write_rows(self, rows: TensorDict, folder: Path) -> None:
        """Write rows, `[N]`."""
        nested = TED2Nested(done_keys=self.done_keys, reward_keys=self.reward_keys)(rows)
        with h5py.File(folder / self.checkpoint_file, "w") as file:
            for key, value in H5Split()(nested).items(include_nested=True, leaves_only=True):
                stored = value.cpu()
                if value.dtype is torch.bfloat16:  # which HDF5 lacks
                    stored = stored.view(torch.int16)
                made = file.create_dataset("/".join(key), data=stored.numpy(), **self.h5_kwargs)
                made.attrs["dtype"] = str(value.dtype)

    def read_rows(self, folder: Path) -> TensorDict:
        """Return the rows that `write_rows` wrote."""
        split = TensorDict({})

        def take(name: str, found: Any) -> None:  # noqa: ANN401
            if isinstance(found, h5py.Dataset):
                value = torch.from_numpy(found[()])
                if found.attrs["dtype"] == "torch.bfloat16":
                    value = value.view(torch.bfloat16)
                split[tuple(name.split("/"))] = value

        with h5py.File(folder / self.checkpoint_file, "r") as file:
            file.visititems(take)
        return Nested2TED()(H5Combine()(split))
