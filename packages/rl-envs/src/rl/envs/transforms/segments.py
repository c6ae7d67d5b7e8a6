"""Segments: where the trajectories of stored data start and end along the time dimension."""

from __future__ import annotations

import torch
from tensordict import TensorDictBase
from torch import Tensor

__all__ = ["segment_ends", "segment_starts", "time_dim"]


def time_dim(tensordict: TensorDictBase) -> int:
    """Return the index of the dimension named `"time"`, else of the last batch dimension."""
    names = tensordict.names if tensordict.ndim else []
    return names.index("time") if "time" in names else tensordict.ndim - 1


def segment_starts(done: Tensor, dim: int) -> Tensor:
    """Return, for each step, the index along `dim` at which its trajectory starts.

    Args:
        done: bool; true at the last step of a trajectory.
        dim: the time dimension.

    Example:
        >>> segment_starts(torch.tensor([False, True, False, False]), 0)
        tensor([0, 0, 2, 2])
    """
    index = _index(done, dim)
    length = done.shape[dim]
    first = torch.zeros_like(index.narrow(dim, 0, 1))
    after = torch.where(done, index + 1, 0).narrow(dim, 0, length - 1)
    return torch.cat([first, after], dim).cummax(dim).values


def segment_ends(done: Tensor, dim: int) -> Tensor:
    """Return, for each step, the index along `dim` at which its trajectory ends.

    Example:
        >>> segment_ends(torch.tensor([False, True, False, False]), 0)
        tensor([1, 1, 3, 3])
    """
    last = done.shape[dim] - 1
    ends = torch.where(done, _index(done, dim), last)
    return ends.flip(dim).cummin(dim).values.flip(dim)


def _index(done: Tensor, dim: int) -> Tensor:
    shape = [1] * done.ndim
    shape[dim] = done.shape[dim]
    return torch.arange(done.shape[dim], device=done.device).view(shape).expand_as(done)
