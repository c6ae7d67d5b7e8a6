"""GAE as a TensorDict module."""

from __future__ import annotations

from typing import Any

from tensordict import TensorDictBase
from torch import Tensor, nn

from rl.objectives.functional.gae import (
    generalized_advantage_estimate,
    vec_generalized_advantage_estimate,
)
from rl.objectives.value.base import StepData, ValueEstimatorBase
from rl.objectives.value.normalise import standardised
from rl.objectives.value.registry import ValueEstimators, register_value_estimator

__all__ = ["GAE"]


@register_value_estimator(
    ValueEstimators.GAE, default_kwargs={"gamma": 0.99, "lmbda": 0.95, "differentiable": True}
)
class GAE(ValueEstimatorBase):
    """Generalised advantage estimation (Schulman et al., 2015, arXiv:1506.02438).

    Args:
        gamma: discount.
        lmbda: weight of longer returns.
        value_network: writes `state_value`, or `None` when the batch already holds the values.
        average_gae: standardise the advantages over the batch.
        vectorized: `False` runs the slow loop over time.
        auto_reset_env: the last next observation of an episode is not valid, so truncated
            episodes bootstrap from the value of their last step.
        **kwargs: arguments of `ValueEstimatorBase`, keys read and written included.

    Example:
        >>> import torch
        >>> from tensordict import TensorDict
        >>> from tensordict.nn import TensorDictModule
        >>> net = TensorDictModule(torch.nn.Linear(3, 1), ["obs"], ["state_value"])
        >>> gae = GAE(gamma=0.98, lmbda=0.94, value_network=net)
        >>> flag = torch.zeros(1, 10, 1, dtype=torch.bool)
        >>> step = {"obs": torch.randn(1, 10, 3), "reward": torch.randn(1, 10, 1), "done": flag}
        >>> batch = TensorDict({"obs": torch.randn(1, 10, 3), "next": step}, [1, 10])
        >>> gae(batch)["advantage"].shape
        torch.Size([1, 10, 1])
    """

    def __init__(
        self,
        *,
        gamma: float | Tensor,
        lmbda: float | Tensor,
        value_network: nn.Module | None,
        average_gae: bool = False,
        vectorized: bool | None = None,
        auto_reset_env: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(gamma=gamma, value_network=value_network, **kwargs)
        self._coefficient("lmbda", lmbda, kwargs.get("device"))
        self.average_gae = average_gae
        self.vectorized = vectorized is not False
        self.auto_reset_env = auto_reset_env

    def _estimate(
        self, tensordict: TensorDictBase, data: StepData, value: Tensor, next_value: Tensor
    ) -> tuple[Tensor, Tensor]:
        if self.auto_reset_env:
            next_value = value.where(data.done, next_value)
        function = (
            vec_generalized_advantage_estimate
            if self.vectorized
            else generalized_advantage_estimate
        )
        advantage, target = function(
            data.gamma,
            self.lmbda,
            value,
            next_value,
            data.reward,
            data.done,
            data.terminated,
            time_dim=data.time_dim,
        )
        return (standardised(advantage) if self.average_gae else advantage), target
