"""Samplers: which elements a batch holds."""

from rl.data.samplers.base import Sampler
from rl.data.samplers.consuming import ConsumingSampler
from rl.data.samplers.ensemble import SamplerEnsemble
from rl.data.samplers.prioritized import PrioritizedSampler
from rl.data.samplers.prioritized_slices import PrioritizedSliceSampler
from rl.data.samplers.prompt_group import PromptGroupSampler
from rl.data.samplers.random_sampler import RandomSampler
from rl.data.samplers.slices import SliceSampler
from rl.data.samplers.slices_without_replacement import SliceSamplerWithoutReplacement
from rl.data.samplers.staleness import StalenessAwareSampler
from rl.data.samplers.without_replacement import SamplerWithoutReplacement

__all__ = [
    "ConsumingSampler",
    "PrioritizedSampler",
    "PrioritizedSliceSampler",
    "PromptGroupSampler",
    "RandomSampler",
    "Sampler",
    "SamplerEnsemble",
    "SamplerWithoutReplacement",
    "SliceSampler",
    "SliceSamplerWithoutReplacement",
    "StalenessAwareSampler",
]
