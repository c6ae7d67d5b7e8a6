"""Trajectories in stored and sampled data."""

from rl.data.trajectories.boundaries import DEFAULT_DONE_KEYS
from rl.data.trajectories.find import find_start_stop_traj
from rl.data.trajectories.predicate import TrajectoryPredicate, traj
from rl.data.trajectories.trajectory import Trajectory, filter_trajectories, iter_trajectories

__all__ = [
    "DEFAULT_DONE_KEYS",
    "Trajectory",
    "TrajectoryPredicate",
    "filter_trajectories",
    "find_start_stop_traj",
    "iter_trajectories",
    "traj",
]
