"""What users need of tensordict, under the roof of this library: the same objects."""

from __future__ import annotations

from tensordict import (
    LazyStackedTensorDict,
    MemoryMappedTensor,
    NonTensorData,
    NonTensorStack,
    PersistentTensorDict,
    TensorClass,
    TensorDict,
    TensorDictBase,
    TensorDictParams,
    from_module,
    is_tensor_collection,
    merge_tensordicts,
    pad,
    tensorclass,
)
from tensordict.nn import (
    CompositeDistribution,
    CudaGraphModule,
    InteractionType,
    ProbabilisticTensorDictModule,
    ProbabilisticTensorDictSequential,
    TensorDictModule,
    TensorDictSequential,
    composite_lp_aggregate,
    dispatch,
    set_composite_lp_aggregate,
    set_skip_existing,
)
from tensordict.nn.utils import biased_softplus, inv_softplus, mappings
from tensordict.utils import expand_as_right

__all__ = [
    "CompositeDistribution",
    "CudaGraphModule",
    "InteractionType",
    "LazyStackedTensorDict",
    "MemoryMappedTensor",
    "NonTensorData",
    "NonTensorStack",
    "PersistentTensorDict",
    "ProbabilisticTensorDictModule",
    "ProbabilisticTensorDictSequential",
    "TensorClass",
    "TensorDict",
    "TensorDictBase",
    "TensorDictModule",
    "TensorDictParams",
    "TensorDictSequential",
    "biased_softplus",
    "composite_lp_aggregate",
    "dispatch",
    "expand_as_right",
    "from_module",
    "inv_softplus",
    "is_tensor_collection",
    "mappings",
    "merge_tensordicts",
    "pad",
    "set_composite_lp_aggregate",
    "set_skip_existing",
    "tensorclass",
]
