"""Specs: the shape, dtype, device and allowed values of every entry of a TensorDict."""

from rl.core.specs.base import DEVICE_TYPING, TensorSpec
from rl.core.specs.binary import Binary
from rl.core.specs.bounded import Bounded, BoundedContinuous, BoundedDiscrete
from rl.core.specs.categorical import Categorical
from rl.core.specs.choice import Choice
from rl.core.specs.composite import Composite
from rl.core.specs.consolidate import (
    check_no_exclusive_keys,
    consolidate_spec,
    contains_lazy_spec,
)
from rl.core.specs.from_data import make_composite_from_td
from rl.core.specs.multi import MultiCategorical, MultiOneHot
from rl.core.specs.nontensor import NonTensor
from rl.core.specs.one_hot import OneHot
from rl.core.specs.space import BinaryBox, Box, BoxList, CategoricalBox, ContinuousBox
from rl.core.specs.stacked import Stacked, StackedComposite
from rl.core.specs.unbounded import Unbounded, UnboundedContinuous, UnboundedDiscrete

__all__ = [
    "DEVICE_TYPING",
    "Binary",
    "BinaryBox",
    "Bounded",
    "BoundedContinuous",
    "BoundedDiscrete",
    "Box",
    "BoxList",
    "Categorical",
    "CategoricalBox",
    "Choice",
    "Composite",
    "ContinuousBox",
    "MultiCategorical",
    "MultiOneHot",
    "NonTensor",
    "OneHot",
    "Stacked",
    "StackedComposite",
    "TensorSpec",
    "Unbounded",
    "UnboundedContinuous",
    "UnboundedDiscrete",
    "check_no_exclusive_keys",
    "consolidate_spec",
    "contains_lazy_spec",
    "make_composite_from_td",
]
