"""Slices of trajectories, as datasets are asked for them."""

from __future__ import annotations

from tensordict.utils import NestedKey

from rl.data.samplers.base import Sampler
from rl.data.samplers.slices import SliceSampler
from rl.data.samplers.slices_without_replacement import SliceSamplerWithoutReplacement

__all__ = ["slice_sampler"]


def slice_sampler(
    num_slices: int | None,
    slice_len: int | None,
    *,
    strict_length: bool = True,
    replacement: bool = True,
    pad: bool = False,
    traj_key: NestedKey = "episode",
) -> Sampler | None:
    """Return the sampler that the arguments of a dataset ask for, None if they ask for no slices.

    Args:
        num_slices: number of slices in a batch.
        slice_len: length of a slice, in place of `num_slices`.
        strict_length: whether trajectories shorter than a slice are left out.
        replacement: whether a trajectory may come twice in a pass.
        pad: whether shorter trajectories are padded.
        traj_key: entry that numbers trajectories.

    Raises:
        ValueError: both are given, or padding is asked for without replacement.

    Example:
        >>> slice_sampler(None, 8).slice_len
        8
    """
    if num_slices is None and slice_len is None:
        return None
    if num_slices is not None and slice_len is not None:
        raise ValueError(
            f"`num_slices` is {num_slices} and `slice_len` is {slice_len}: pass one of the two."
        )
    asked = {"num_slices": num_slices, "slice_len": slice_len, "traj_key": traj_key}
    if replacement:
        return SliceSampler(**asked, strict_length=strict_length and not pad, pad_output=pad)
    if pad:
        raise ValueError("`pad` needs `replacement=True`: slices are padded with replacement only.")
    return SliceSamplerWithoutReplacement(**asked, strict_length=strict_length)
