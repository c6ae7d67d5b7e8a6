"""Distributions by name, for configuration files."""

from __future__ import annotations

from torch.distributions import Distribution

from rl.core.distributions.categorical import FusedCategorical, MaskedCategorical
from rl.core.distributions.delta import Delta, TanhDelta
from rl.core.distributions.llm_masked import LLMMaskedCategorical
from rl.core.distributions.normal import IndependentNormal
from rl.core.distributions.one_hot import MaskedOneHotCategorical, OneHotCategorical
from rl.core.distributions.ordinal import OneHotOrdinal, Ordinal
from rl.core.distributions.tanh_normal import TanhNormal
from rl.core.distributions.truncated_normal import TruncatedNormal

__all__ = ["distributions_maps"]

#: the class of each distribution by its name in lower case, as in `distributions_maps["delta"]`
distributions_maps: dict[str, type[Distribution]] = {
    cls.__name__.lower(): cls
    for cls in (
        Delta,
        FusedCategorical,
        IndependentNormal,
        LLMMaskedCategorical,
        MaskedCategorical,
        MaskedOneHotCategorical,
        OneHotCategorical,
        OneHotOrdinal,
        Ordinal,
        TanhDelta,
        TanhNormal,
        TruncatedNormal,
    )
}
