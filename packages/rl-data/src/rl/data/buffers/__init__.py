"""Replay buffers."""

from rl.data.buffers.hindsight import HERReplayBuffer, HindsightStrategy
from rl.data.buffers.prioritized import PrioritizedReplayBuffer, TensorDictPrioritizedReplayBuffer
from rl.data.buffers.replay_buffer import ReplayBuffer
from rl.data.buffers.served import ReplayBufferClient, ReplayBufferService
from rl.data.buffers.tensordict_buffer import TensorDictReplayBuffer

__all__ = [
    "HERReplayBuffer",
    "HindsightStrategy",
    "PrioritizedReplayBuffer",
    "ReplayBuffer",
    "ReplayBufferClient",
    "ReplayBufferService",
    "TensorDictPrioritizedReplayBuffer",
    "TensorDictReplayBuffer",
]
