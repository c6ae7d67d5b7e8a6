"""Collectors whose workers are Ray actors."""

from rl.distributed.ray.collector import RayCollector

__all__ = ["RayCollector"]
