"""Replay buffers: a storage, a sampler and a writer, and what they are made of."""

from rl.core.contract.version import require_contract
from rl.data.buffers import (
    PrioritizedReplayBuffer,
    ReplayBuffer,
    TensorDictPrioritizedReplayBuffer,
    TensorDictReplayBuffer,
)
from rl.data.datasets import (
    BaseDatasetExperienceReplay,
    D4RLExperienceReplay,
    DatasetError,
    DatasetNotFoundError,
    MinariExperienceReplay,
    to_minari,
)
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
    "BaseDatasetExperienceReplay",
    "D4RLExperienceReplay",
    "DatasetError",
    "DatasetNotFoundError",
    "ImmutableDatasetWriter",
    "LambdaScheduler",
    "LazyMemmapStorage",
    "LazyTensorStorage",
    "LinearScheduler",
    "ListStorage",
    "MinSegmentTreeFp32",
    "MinSegmentTreeFp64",
    "MinTree",
    "MinariExperienceReplay",
    "ParameterScheduler",
    "PrioritizedReplayBuffer",
    "PrioritizedSampler",
    "PrioritizedSliceSampler",
    "RandomSampler",
    "ReplayBuffer",
    "RoundRobinWriter",
    "Sampler",
    "SamplerWithoutReplacement",
    "SchedulerList",
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
    "Writer",
    "to_minari",
]
