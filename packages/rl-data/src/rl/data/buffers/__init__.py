"""Replay buffers."""

from rl.data.buffers.prioritized import PrioritizedReplayBuffer, TensorDictPrioritizedReplayBuffer
from rl.data.buffers.replay_buffer import ReplayBuffer
from rl.data.buffers.served import ReplayBufferClient, ReplayBufferService
from rl.data.buffers.tensordict_buffer import TensorDictReplayBuffer

__all__ = [
    "PrioritizedReplayBuffer",
    "ReplayBuffer",
    "ReplayBufferClient",
    "ReplayBufferService",
    "TensorDictPrioritizedReplayBuffer",
    "TensorDictReplayBuffer",
]
