"""Trajectories side by side: one row per trajectory, padded to the longest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from tensordict import TensorDictBase
from torch import Tensor

from rl.data.datasets.columns import ColumnWriter, Converted

__all__ = ["pad_trajectories", "trajectory_bounds"]


def trajectory_bounds(rows: TensorDictBase) -> tuple[Tensor, Tensor]:
    """Return first row and length of each trajectory.

    A trajectory ends where `("next", "done")` is set or `"episode"` changes, and at the last row.

    Reads:
        ("next", "done"): [n, 1] bool, if there.
        episode: [n] int64, if there.

    Example:
        >>> from tensordict import TensorDict
        >>> trajectory_bounds(TensorDict({"episode": torch.tensor([0, 0, 3])}, [3]))
        (tensor([0, 2]), tensor([2, 1]))
    """
    ends = torch.zeros(len(rows), dtype=torch.bool)
    ends[-1] = True
    done, episode = rows.get(("next", "done"), None), rows.get("episode", None)
    if done is not None:
        ends |= done.reshape(-1)
    if episode is not None:
        ends[:-1] |= episode[1:] != episode[:-1]
    stops = ends.nonzero().squeeze(-1) + 1
    starts = torch.cat([stops.new_zeros(1), stops[:-1]])
    return starts, stops - starts


def pad_trajectories(converted: Converted, folder: Path) -> None:
    """Write a converted dataset anew with one row `[longest, ...]` per trajectory.

    Writes:
        mask: [num_trajectories, longest] bool, False at padding, which is zero.
    """
    starts, lengths = trajectory_bounds(converted.rows)
    longest = int(lengths.max())
    nested = converted.rows.to_dict()
    with ColumnWriter(folder) as writer:
        writer.metadata = converted.metadata
        writer.texts = converted.texts
        for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
            row = _padded(nested, start, length, longest)
            row["mask"] = (np.arange(longest) < length)[None]
            writer.append(row)


def _padded(nested: dict[str, Any], start: int, length: int, longest: int) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, dict):
            result[key] = _padded(value, start, length, longest)
        else:
            result[key] = value.new_zeros((1, longest, *value.shape[1:]))
            result[key][0, :length] = value[start : start + length]
    return result
