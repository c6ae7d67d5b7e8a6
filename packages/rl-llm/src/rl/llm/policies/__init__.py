"""Language models as policies."""

from rl.llm.policies.base import LLMWrapperBase, MaskingStrategy
from rl.llm.policies.outputs import LogProbs, Masks, Text, Tokens
from rl.llm.policies.token_distribution import TokenDistribution
from rl.llm.policies.transformers import TransformersWrapper

__all__ = [
    "LLMWrapperBase",
    "LogProbs",
    "MaskingStrategy",
    "Masks",
    "Text",
    "TokenDistribution",
    "Tokens",
    "TransformersWrapper",
]
