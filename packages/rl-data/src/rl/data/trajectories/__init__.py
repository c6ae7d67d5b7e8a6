"""Trajectories in stored and sampled data."""

from rl.data.trajectories.boundaries import DEFAULT_DONE_KEYS

__all__ = ["DEFAULT_DONE_KEYS"]
