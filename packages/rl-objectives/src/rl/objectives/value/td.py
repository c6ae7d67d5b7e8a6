"""TD(0), TD(1) and TD(lambda) as TensorDict modules."""

from __future__ import annotations

import abc
import dataclasses
from typing import Any

from tensordict import TensorDictBase
from torch import Tensor, nn

from rl.objectives.functional.shapes import check_same_shape
from rl.objectives.functional.td import (
    td0_return_estimate,
    td_lambda_return_estimate,
    vec_td1_return_estimate,
    vec_td_lambda_return_estimate,
)
from rl.objectives.value.base import StepData, ValueEstimatorBase
from rl.objectives.value.normalise import standardised
from rl.objectives.value.registry import ValueEstimators, register_value_estimator

__all__ = ["TD0Estimator", "TD1Estimator", "TDEstimatorBase", "TDLambdaEstimator"]


class TDEstimatorBase(ValueEstimatorBase):
    """An estimator whose target is free of V(s_t): the advantage is the target less the value."""

    def __init__(
        self,
        *,
        gamma: float | Tensor,
        value_network: nn.Module | None,
        average_rewards: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(gamma=gamma, value_network=value_network, **kwargs)
        self.average_rewards = average_rewards

    def _estimate(
        self, tensordict: TensorDictBase, data: StepData, value: Tensor, next_value: Tensor
    ) -> tuple[Tensor, Tensor]:
        check_same_shape(value, next_value=next_value)
        target = self._target(tensordict, data, next_value, None)
        return target - value, target

    def _target(
        self,
        tensordict: TensorDictBase,
        data: StepData,
        next_value: Tensor,
        params: TensorDictBase | None,
    ) -> Tensor:
        if self.average_rewards:
            data = dataclasses.replace(data, reward=standardised(data.reward))
        return self._return(data, next_value)

    @abc.abstractmethod
    def _return(self, data: StepData, next_value: Tensor) -> Tensor:
        """Return the value target."""


@register_value_estimator(
    ValueEstimators.TD0, default_kwargs={"gamma": 0.99, "differentiable": True}
)
class TD0Estimator(TDEstimatorBase):
    """One-step return: r_t + gamma * V(s_{t+1}).

    Args:
        gamma: discount.
        value_network: writes the value key, or `None` when the batch already holds the values.
        average_rewards: standardise the rewards over the batch.
        **kwargs: arguments of `ValueEstimatorBase`, keys read and written included.

    Example:
        >>> import torch
        >>> from tensordict import TensorDict
        >>> one = torch.ones(2, 1)
        >>> step = {"state_value": one, "reward": one, "done": ~one.bool()}
        >>> batch = TensorDict({"state_value": one, "next": step}, [2])
        >>> TD0Estimator(gamma=0.5, value_network=None)(batch)["value_target"].flatten()
        tensor([1.5000, 1.5000])
    """

    def _return(self, data: StepData, next_value: Tensor) -> Tensor:
        return td0_return_estimate(data.gamma, next_value, data.reward, data.terminated)


@register_value_estimator(
    ValueEstimators.TD1, default_kwargs={"gamma": 0.99, "differentiable": True}
)
class TD1Estimator(TDEstimatorBase):
    """Return to the end of the trajectory, bootstrapped where it was cut.

    Args:
        gamma: discount.
        value_network: writes the value key, or `None` when the batch already holds the values.
        average_rewards: standardise the rewards over the batch.
        **kwargs: arguments of `ValueEstimatorBase`, keys read and written included.

    Example:
        >>> import torch
        >>> from tensordict import TensorDict
        >>> one = torch.ones(2, 1)
        >>> step = {"state_value": one, "reward": one, "done": ~one.bool()}
        >>> batch = TensorDict({"state_value": one, "next": step}, [2])
        >>> TD1Estimator(gamma=0.5, value_network=None)(batch)["value_target"].flatten()
        tensor([1.7500, 1.5000])
    """

    def _return(self, data: StepData, next_value: Tensor) -> Tensor:
        return vec_td1_return_estimate(
            data.gamma,
            next_value,
            data.reward,
            data.done,
            data.terminated,
            time_dim=data.time_dim,
        )


@register_value_estimator(
    ValueEstimators.TDLambda, default_kwargs={"gamma": 0.99, "lmbda": 0.95, "differentiable": True}
)
class TDLambdaEstimator(TDEstimatorBase):
    """Lambda-return (Sutton & Barto, 2018, section 12.1).

    Args:
        gamma: discount.
        lmbda: weight of longer returns.
        value_network: writes the value key, or `None` when the batch already holds the values.
        average_rewards: standardise the rewards over the batch.
        vectorized: `False` runs the slow loop over time.
        **kwargs: arguments of `ValueEstimatorBase`, keys read and written included.

    Example:
        >>> import torch
        >>> from tensordict import TensorDict
        >>> one = torch.ones(2, 1)
        >>> step = {"state_value": one, "reward": one, "done": ~one.bool()}
        >>> batch = TensorDict({"state_value": one, "next": step}, [2])
        >>> estimator = TDLambdaEstimator(gamma=0.5, lmbda=1.0, value_network=None)
        >>> estimator(batch)["value_target"].flatten()
        tensor([1.7500, 1.5000])
    """

    def __init__(
        self,
        *,
        gamma: float | Tensor,
        lmbda: float | Tensor,
        value_network: nn.Module | None,
        vectorized: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(gamma=gamma, value_network=value_network, **kwargs)
        self._coefficient("lmbda", lmbda, kwargs.get("device"))
        self.vectorized = vectorized

    def _return(self, data: StepData, next_value: Tensor) -> Tensor:
        function = vec_td_lambda_return_estimate if self.vectorized else td_lambda_return_estimate
        return function(
            data.gamma,
            self.lmbda,
            next_value,
            data.reward,
            data.done,
            data.terminated,
            time_dim=data.time_dim,
        )
