"""Replay buffers."""

from rl.data.buffers.conditional import ConditionalUpdateResult
from rl.data.buffers.ensemble import ReplayBufferEnsemble
from rl.data.buffers.hindsight import HERReplayBuffer, HindsightStrategy
from rl.data.buffers.prioritized import PrioritizedReplayBuffer, TensorDictPrioritizedReplayBuffer
from rl.data.buffers.replay_buffer import ReplayBuffer
from rl.data.buffers.served import ReplayBufferClient, ReplayBufferService
from rl.data.buffers.tensordict_buffer import TensorDictReplayBuffer

__all__ = [
    "ConditionalUpdateResult",
    "HERReplayBuffer",
    "HindsightStrategy",
    "PrioritizedReplayBuffer",
    "ReplayBuffer",
    "ReplayBufferClient",
    "ReplayBufferEnsemble",
    "ReplayBufferService",
    "TensorDictPrioritizedReplayBuffer",
    "TensorDictReplayBuffer",
]
