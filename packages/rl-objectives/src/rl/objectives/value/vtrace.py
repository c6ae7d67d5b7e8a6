"""V-trace as a TensorDict module."""

from __future__ import annotations

from typing import Any

import torch
from tensordict import NestedKey, TensorDictBase
from torch import Tensor, nn

from rl.core.errors import MissingKeyError
from rl.objectives.functional.vtrace import vtrace_advantage_estimate
from rl.objectives.log_prob import check_log_prob, policy_log_prob
from rl.objectives.value.base import StepData, ValueEstimatorBase
from rl.objectives.value.normalise import standardised
from rl.objectives.value.registry import ValueEstimators, register_value_estimator

__all__ = ["VTrace"]


@register_value_estimator(
    ValueEstimators.VTrace, default_kwargs={"gamma": 0.99, "differentiable": True}
)
class VTrace(ValueEstimatorBase):
    """Off-policy corrected values (Espeholt et al., 2018, IMPALA, arXiv:1802.01561).

    Besides what every estimator reads, it reads the actions and their log-prob under the policy
    that collected them (`sample_log_prob`, `[*B, T]`).

    Args:
        gamma: discount.
        actor_network: probabilistic actor that is being trained.
        value_network: writes `state_value`, or `None` when the batch already holds the values.
        rho_thresh: ceiling of the weight of the temporal difference.
        c_thresh: ceiling of the weight of the trace.
        average_adv: standardise the advantages over the batch.
        **kwargs: arguments of `ValueEstimatorBase`, keys read and written included.

    Example:
        >>> import torch
        >>> from rl.core.distributions import IndependentNormal
        >>> from tensordict import TensorDict
        >>> from tensordict.nn import NormalParamExtractor, TensorDictModule
        >>> from tensordict.nn import ProbabilisticTensorDictModule as Prob
        >>> from tensordict.nn import ProbabilisticTensorDictSequential as ProbSequential
        >>> net = torch.nn.Sequential(torch.nn.Linear(3, 4), NormalParamExtractor())
        >>> head = Prob(["loc", "scale"], ["action"], distribution_class=IndependentNormal)
        >>> actor = ProbSequential(TensorDictModule(net, ["obs"], ["loc", "scale"]), head)
        >>> critic = TensorDictModule(torch.nn.Linear(3, 1), ["obs"], ["state_value"])
        >>> vtrace = VTrace(gamma=0.99, actor_network=actor, value_network=critic)
        >>> step = {"obs": torch.randn(5, 3), "reward": torch.randn(5, 1)}
        >>> step["done"] = torch.zeros(5, 1, dtype=torch.bool)
        >>> batch = {"obs": torch.randn(5, 3), "action": torch.randn(5, 2), "next": step}
        >>> batch["action_log_prob"] = torch.zeros(5)
        >>> vtrace(TensorDict(batch, [5]))["value_target"].shape
        torch.Size([5, 1])
    """

    def __init__(
        self,
        *,
        gamma: float | Tensor,
        actor_network: nn.Module,
        value_network: nn.Module | None,
        rho_thresh: float | Tensor = 1.0,
        c_thresh: float | Tensor = 1.0,
        average_adv: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(gamma=gamma, value_network=value_network, **kwargs)
        self.actor_network = actor_network
        self._coefficient("rho_thresh", rho_thresh, kwargs.get("device"))
        self._coefficient("c_thresh", c_thresh, kwargs.get("device"))
        self.average_adv = average_adv
        self.set_keys()

    def _policy_keys(self) -> list[NestedKey]:
        actor = getattr(self, "actor_network", None)
        if actor is None:  # the base constructor runs before the actor is known
            return []
        return [*actor.in_keys, actor.out_keys[-1], self.tensor_keys.sample_log_prob]

    def _estimate(
        self, tensordict: TensorDictBase, data: StepData, value: Tensor, next_value: Tensor
    ) -> tuple[Tensor, Tensor]:
        key = self.tensor_keys.sample_log_prob
        log_mu = tensordict.get(key, None)
        if log_mu is None:
            raise MissingKeyError(
                f"V-trace reads `{key}`, the log-prob of the actions when they were collected: "
                "build the actor with `return_log_prob=True`."
            )
        with torch.no_grad():
            log_pi = policy_log_prob(self.actor_network, tensordict)
        check_log_prob(key, log_mu, log_pi.shape)
        advantage, target = vtrace_advantage_estimate(
            data.gamma,
            log_pi.unsqueeze(-1),
            log_mu.unsqueeze(-1),
            value,
            next_value,
            data.reward,
            data.done,
            data.terminated,
            rho_thresh=self.rho_thresh,
            c_thresh=self.c_thresh,
            time_dim=data.time_dim,
        )
        return (standardised(advantage) if self.average_adv else advantage), target
