"""Slices of trajectories as datasets draw them."""

from __future__ import annotations

from rl.data.samplers.base import Sampler
from rl.data.samplers.slice_sampler import SliceSampler, SliceSamplerWithoutReplacement

__all__ = ["slice_sampler"]


def slice_sampler(
    num_slices: int | None,
    slice_len: int | None,
    *,
    strict_length: bool = True,
    replacement: bool = True,
    pad: bool = False,
) -> Sampler | None:
    """Return the sampler of slices that two arguments ask for, None if none does."""
