"""Trees: segment trees behind prioritised sampling, and search trees over rollouts."""

from rl.data.trees.device_tree import (
    CudaMinSegmentTreeFp32,
    CudaMinSegmentTreeFp64,
    CudaSumSegmentTreeFp32,
    CudaSumSegmentTreeFp64,
    DeviceMinTree,
    DeviceSumTree,
)
from rl.data.trees.forest import MCTSForest
from rl.data.trees.segment_tree import (
    MinSegmentTreeFp32,
    MinSegmentTreeFp64,
    MinTree,
    SegmentTree,
    SumSegmentTreeFp32,
    SumSegmentTreeFp64,
    SumTree,
)
from rl.data.trees.tree import Subtree, Tree

__all__ = [
    "CudaMinSegmentTreeFp32",
    "CudaMinSegmentTreeFp64",
    "CudaSumSegmentTreeFp32",
    "CudaSumSegmentTreeFp64",
    "DeviceMinTree",
    "DeviceSumTree",
    "MCTSForest",
    "MinSegmentTreeFp32",
    "MinSegmentTreeFp64",
    "MinTree",
    "SegmentTree",
    "Subtree",
    "SumSegmentTreeFp32",
    "SumSegmentTreeFp64",
    "SumTree",
    "Tree",
]
