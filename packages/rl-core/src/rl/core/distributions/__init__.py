"""Distributions of policies: lean torch distributions that draw and score in one call."""

from tensordict.nn import NormalParamExtractor

from rl.core.distributions.categorical import FusedCategorical, MaskedCategorical
from rl.core.distributions.delta import Delta, TanhDelta
from rl.core.distributions.fused import (
    FusedDistribution,
    rsample_and_log_prob,
    sample_and_log_prob,
)
from rl.core.distributions.kl import kl_divergence
from rl.core.distributions.normal import IndependentNormal
from rl.core.distributions.one_hot import (
    MaskedOneHotCategorical,
    OneHotCategorical,
    ReparamGradientStrategy,
)
from rl.core.distributions.tanh_normal import TanhNormal
from rl.core.distributions.truncated_normal import TruncatedNormal

__all__ = [
    "Delta",
    "FusedCategorical",
    "FusedDistribution",
    "IndependentNormal",
    "MaskedCategorical",
    "MaskedOneHotCategorical",
    "NormalParamExtractor",
    "OneHotCategorical",
    "ReparamGradientStrategy",
    "TanhDelta",
    "TanhNormal",
    "TruncatedNormal",
    "kl_divergence",
    "rsample_and_log_prob",
    "sample_and_log_prob",
]
