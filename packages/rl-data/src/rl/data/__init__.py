"""Replay buffers: a storage, a sampler and a writer, and what they are made of."""

from rl.core.contract import split_trajectories
from rl.core.contract.version import require_contract
from rl.data.buffers import (
    PrioritizedReplayBuffer,
    ReplayBuffer,
    TensorDictPrioritizedReplayBuffer,
    TensorDictReplayBuffer,
)
from rl.data.sample_units import SampleUnit, Sequence, Transition
from rl.data.samplers import (
    PrioritizedSampler,
    PrioritizedSliceSampler,
    RandomSampler,
    Sampler,
    SamplerWithoutReplacement,
    SliceSampler,
    SliceSamplerWithoutReplacement,
)
from rl.data.schedulers import (
    LambdaScheduler,
    LinearScheduler,
    ParameterScheduler,
    SchedulerList,
    StepScheduler,
)
from rl.data.storages import (
    LazyMemmapStorage,
    LazyTensorStorage,
    ListStorage,
    Storage,
    TensorStorage,
)
from rl.data.trajectories import (
    DEFAULT_DONE_KEYS,
    Trajectory,
    TrajectoryPredicate,
    filter_trajectories,
    find_start_stop_traj,
    iter_trajectories,
    traj,
)
from rl.data.trees import (
    MinSegmentTreeFp32,
    MinSegmentTreeFp64,
    MinTree,
    SumSegmentTreeFp32,
    SumSegmentTreeFp64,
    SumTree,
)
from rl.data.writers import (
    ImmutableDatasetWriter,
    RoundRobinWriter,
    TensorDictRoundRobinWriter,
    Writer,
)

require_contract("rl-data", 1)

__all__ = [
    "DEFAULT_DONE_KEYS",
    "ImmutableDatasetWriter",
    "LambdaScheduler",
    "LazyMemmapStorage",
    "LazyTensorStorage",
    "LinearScheduler",
    "ListStorage",
    "MinSegmentTreeFp32",
    "MinSegmentTreeFp64",
    "MinTree",
    "ParameterScheduler",
    "PrioritizedReplayBuffer",
    "PrioritizedSampler",
    "PrioritizedSliceSampler",
    "RandomSampler",
    "ReplayBuffer",
    "RoundRobinWriter",
    "SampleUnit",
    "Sampler",
    "SamplerWithoutReplacement",
    "SchedulerList",
    "Sequence",
    "SliceSampler",
    "SliceSamplerWithoutReplacement",
    "StepScheduler",
    "Storage",
    "SumSegmentTreeFp32",
    "SumSegmentTreeFp64",
    "SumTree",
    "TensorDictPrioritizedReplayBuffer",
    "TensorDictReplayBuffer",
    "TensorDictRoundRobinWriter",
    "TensorStorage",
    "Trajectory",
    "TrajectoryPredicate",
    "Transition",
    "Writer",
    "filter_trajectories",
    "find_start_stop_traj",
    "iter_trajectories",
    "split_trajectories",
    "traj",
]
