"""Replay buffers: a storage, a sampler and a writer, and what they are made of."""

from rl.core.contract.version import require_contract
from rl.data.buffers import (
    HERReplayBuffer,
    HindsightStrategy,
    PrioritizedReplayBuffer,
    ReplayBuffer,
    ReplayBufferClient,
    ReplayBufferService,
    TensorDictPrioritizedReplayBuffer,
    TensorDictReplayBuffer,
)
from rl.data.maps import (
    BinaryToDecimal,
    HashToInt,
    QueryModule,
    RandomProjectionHash,
    SipHash,
    TensorDictMap,
    TensorMap,
)
from rl.data.samplers import (
    PrioritizedSampler,
    RandomSampler,
    Sampler,
    SamplerWithoutReplacement,
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
from rl.data.transforms import (
    ActionChunkTransform,
    BurnInTransform,
    DensifyReward,
    MultiStep,
    MultiStepTransform,
    NextStateReconstructor,
    Reward2GoTransform,
    StackFrames,
)
from rl.data.trees import (
    MCTSForest,
    MinSegmentTreeFp32,
    MinSegmentTreeFp64,
    MinTree,
    Subtree,
    SumSegmentTreeFp32,
    SumSegmentTreeFp64,
    SumTree,
    Tree,
)
from rl.data.writers import (
    ImmutableDatasetWriter,
    RoundRobinWriter,
    TensorDictRoundRobinWriter,
    Writer,
)

require_contract("rl-data", 1)

__all__ = [
    "ActionChunkTransform",
    "BinaryToDecimal",
    "BurnInTransform",
    "DensifyReward",
    "HERReplayBuffer",
    "HashToInt",
    "HindsightStrategy",
    "ImmutableDatasetWriter",
    "LambdaScheduler",
    "LazyMemmapStorage",
    "LazyTensorStorage",
    "LinearScheduler",
    "ListStorage",
    "MCTSForest",
    "MinSegmentTreeFp32",
    "MinSegmentTreeFp64",
    "MinTree",
    "MultiStep",
    "MultiStepTransform",
    "NextStateReconstructor",
    "ParameterScheduler",
    "PrioritizedReplayBuffer",
    "PrioritizedSampler",
    "QueryModule",
    "RandomProjectionHash",
    "RandomSampler",
    "ReplayBuffer",
    "ReplayBufferClient",
    "ReplayBufferService",
    "Reward2GoTransform",
    "RoundRobinWriter",
    "Sampler",
    "SamplerWithoutReplacement",
    "SchedulerList",
    "SipHash",
    "StackFrames",
    "StepScheduler",
    "Storage",
    "Subtree",
    "SumSegmentTreeFp32",
    "SumSegmentTreeFp64",
    "SumTree",
    "TensorDictMap",
    "TensorDictPrioritizedReplayBuffer",
    "TensorDictReplayBuffer",
    "TensorDictRoundRobinWriter",
    "TensorMap",
    "TensorStorage",
    "Tree",
    "Writer",
]
