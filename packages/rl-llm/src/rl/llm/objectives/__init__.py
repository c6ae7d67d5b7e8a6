"""Losses and advantages for language models."""

from rl.llm.objectives.functional import k3_kl_token_estimate
from rl.llm.objectives.grpo import GRPOLoss
from rl.llm.objectives.mc_advantage import MCAdvantage
from rl.llm.objectives.output import GRPOLossOutput, LLMLossOutput

__all__ = ["GRPOLoss", "GRPOLossOutput", "LLMLossOutput", "MCAdvantage", "k3_kl_token_estimate"]
