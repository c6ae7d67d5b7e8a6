"""Collectors: iterators over batches of transitions."""

from rl.envs.collectors.base import BaseCollector
from rl.envs.collectors.collector import Collector
from rl.envs.collectors.single import SingleCollector
from rl.envs.collectors.trajectories import TrajectoryIds, split_trajectories

__all__ = ["BaseCollector", "Collector", "SingleCollector", "TrajectoryIds", "split_trajectories"]
