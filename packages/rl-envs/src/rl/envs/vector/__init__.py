"""Vector envs: several envs behind one batched interface."""

from rl.envs.vector.batched import BatchedEnvBase
from rl.envs.vector.parallel import ParallelEnv
from rl.envs.vector.serial import SerialEnv

__all__ = ["BatchedEnvBase", "ParallelEnv", "SerialEnv"]
