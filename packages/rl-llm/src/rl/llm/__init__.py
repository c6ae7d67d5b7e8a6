"""Language models in reinforcement learning: conversations, policies, losses and recipes."""

from rl.core.contract.version import require_contract
from rl.llm.history import ChatHistory, History, add_chat_template
from rl.llm.objectives import (
    GRPOLoss,
    GRPOLossOutput,
    LLMLossOutput,
    MCAdvantage,
    k3_kl_token_estimate,
)
from rl.llm.policies import (
    LLMWrapperBase,
    LogProbs,
    Masks,
    Text,
    TokenDistribution,
    Tokens,
    TransformersWrapper,
)

__all__ = [
    "ChatHistory",
    "GRPOLoss",
    "GRPOLossOutput",
    "History",
    "LLMLossOutput",
    "LLMWrapperBase",
    "LogProbs",
    "MCAdvantage",
    "Masks",
    "Text",
    "TokenDistribution",
    "Tokens",
    "TransformersWrapper",
    "add_chat_template",
    "k3_kl_token_estimate",
]

require_contract("rl-llm", 1)
