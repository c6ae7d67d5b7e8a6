"""Distributions of policies: lean torch distributions that draw and score in one call."""

from tensordict.nn import NormalParamExtractor

from rl.core.distributions.categorical import FusedCategorical, MaskedCategorical
from rl.core.distributions.composite import composite_entropy
from rl.core.distributions.delta import Delta, TanhDelta
from rl.core.distributions.fused import (
    FusedDistribution,
    rsample_and_log_prob,
    sample_and_log_prob,
)
from rl.core.distributions.kl import kl_divergence
from rl.core.distributions.llm_masked import LLMMaskedCategorical
from rl.core.distributions.names import distributions_maps
from rl.core.distributions.normal import IndependentNormal
from rl.core.distributions.one_hot import (
    MaskedOneHotCategorical,
    OneHotCategorical,
    ReparamGradientStrategy,
)
from rl.core.distributions.ordinal import OneHotOrdinal, Ordinal
from rl.core.distributions.safe_tanh import SafeTanhTransform
from rl.core.distributions.tanh_normal import TanhNormal
from rl.core.distributions.transformed import FasterTransformedDistribution
from rl.core.distributions.truncated_normal import TruncatedNormal, TruncatedStandardNormal

__all__ = [
    "Delta",
    "FasterTransformedDistribution",
    "FusedCategorical",
    "FusedDistribution",
    "IndependentNormal",
    "LLMMaskedCategorical",
    "MaskedCategorical",
    "MaskedOneHotCategorical",
    "NormalParamExtractor",
    "OneHotCategorical",
    "OneHotOrdinal",
    "Ordinal",
    "ReparamGradientStrategy",
    "SafeTanhTransform",
    "TanhDelta",
    "TanhNormal",
    "TruncatedNormal",
    "TruncatedStandardNormal",
    "composite_entropy",
    "distributions_maps",
    "kl_divergence",
    "rsample_and_log_prob",
    "sample_and_log_prob",
]
