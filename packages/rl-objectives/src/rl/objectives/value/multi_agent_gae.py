"""GAE for teams: shared rewards and flags are given to every agent."""

from __future__ import annotations

import dataclasses
from typing import Any

from tensordict import TensorDictBase
from torch import Tensor

from rl.objectives.value.base import StepData
from rl.objectives.value.gae import GAE
from rl.objectives.value.registry import ValueEstimators, register_value_estimator

__all__ = ["MultiAgentGAE"]


@register_value_estimator(
    ValueEstimators.MAGAE, default_kwargs={"gamma": 0.99, "lmbda": 0.95, "differentiable": True}
)
class MultiAgentGAE(GAE):
    """GAE whose values are `[*B, T, agents, 1]` and whose reward may be `[*B, T, 1]`.

    Args:
        agent_dim: dimension of the agents in the values.
        **kwargs: arguments of `GAE`.

    Example:
        >>> import torch
        >>> from tensordict import TensorDict
        >>> value, one = torch.zeros(1, 2, 3, 1), torch.ones(1, 2, 1)
        >>> step = {"state_value": value, "reward": one, "done": ~one.bool()}
        >>> batch = TensorDict({"state_value": value, "next": step}, [1, 2])
        >>> gae = MultiAgentGAE(gamma=1.0, lmbda=1.0, value_network=None)
        >>> gae(batch)["advantage"].shape
        torch.Size([1, 2, 3, 1])
    """

    def __init__(self, *, agent_dim: int = -2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.agent_dim = agent_dim

    def _estimate(
        self, tensordict: TensorDictBase, data: StepData, value: Tensor, next_value: Tensor
    ) -> tuple[Tensor, Tensor]:
        dim = self.agent_dim % value.ndim
        shared = {
            name: tensor.unsqueeze(dim).expand_as(value)
            for name in ("reward", "done", "terminated", "gamma")
            if isinstance(tensor := getattr(data, name), Tensor) and tensor.ndim == value.ndim - 1
        }
        return super()._estimate(tensordict, dataclasses.replace(data, **shared), value, next_value)
