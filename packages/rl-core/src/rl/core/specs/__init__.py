"""Specs: the shape, dtype, device and allowed values of every entry of a TensorDict."""

from rl.core.specs.base import DEVICE_TYPING, TensorSpec
from rl.core.specs.binary import Binary
from rl.core.specs.bounded import Bounded, BoundedContinuous, BoundedDiscrete
from rl.core.specs.categorical import Categorical
from rl.core.specs.composite import Composite
from rl.core.specs.one_hot import OneHot
from rl.core.specs.space import BinaryBox, Box, BoxList, CategoricalBox, ContinuousBox
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
    "Composite",
    "ContinuousBox",
    "OneHot",
    "TensorSpec",
    "Unbounded",
    "UnboundedContinuous",
    "UnboundedDiscrete",
]
