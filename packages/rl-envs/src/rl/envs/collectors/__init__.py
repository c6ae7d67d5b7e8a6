"""Collectors: iterators over batches of transitions."""

from rl.core.contract import split_trajectories
from rl.envs.collectors.base import BaseCollector
from rl.envs.collectors.collector import Collector
from rl.envs.collectors.single import SingleCollector
from rl.envs.collectors.trajectories import TrajectoryIds

__all__ = ["BaseCollector", "Collector", "SingleCollector", "TrajectoryIds", "split_trajectories"]
