"""Collectors on many machines and processes, backed by Ray."""

from rl.core.contract import require_contract
from rl.distributed.ray import RayCollector

require_contract("rl-distributed", 1)

__all__ = ["RayCollector"]
