"""Samplers: which elements a batch holds."""

from rl.data.samplers.base import Sampler
from rl.data.samplers.prioritized import PrioritizedSampler
from rl.data.samplers.prioritized_slices import PrioritizedSliceSampler
from rl.data.samplers.random_sampler import RandomSampler
from rl.data.samplers.slices import SliceSampler
from rl.data.samplers.slices_without_replacement import SliceSamplerWithoutReplacement
from rl.data.samplers.without_replacement import SamplerWithoutReplacement

__all__ = [
    "PrioritizedSampler",
    "PrioritizedSliceSampler",
    "RandomSampler",
    "Sampler",
    "SamplerWithoutReplacement",
    "SliceSampler",
    "SliceSamplerWithoutReplacement",
]
