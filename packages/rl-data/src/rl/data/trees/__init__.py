"""Segment trees behind prioritised sampling."""

from rl.data.trees.segment_tree import (
    MinSegmentTreeFp32,
    MinSegmentTreeFp64,
    MinTree,
    SegmentTree,
    SumSegmentTreeFp32,
    SumSegmentTreeFp64,
    SumTree,
)

__all__ = [
    "MinSegmentTreeFp32",
    "MinSegmentTreeFp64",
    "MinTree",
    "SegmentTree",
    "SumSegmentTreeFp32",
    "SumSegmentTreeFp64",
    "SumTree",
]
