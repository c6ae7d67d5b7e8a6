"""Deep deterministic policy gradient."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from tensordict import NestedKey, TensorDict, TensorDictBase
from tensordict.nn import dispatch
from torch import Tensor, nn

from rl.core.contract.keys import in_next
from rl.objectives.losses.base import LossModule
from rl.objectives.losses.mode import loss_method
from rl.objectives.losses.reduction import distance_loss
from rl.objectives.stateless import inputs_of
from rl.objectives.value.registry import ValueEstimators

__all__ = ["DDPGLoss"]


class DDPGLoss(LossModule):
    """Deterministic policy gradient (Lillicrap et al., 2016, arXiv:1509.02971).

    Args:
        actor_network: writes `action`.
        value_network: reads the action too, writes `state_action_value`, `[*B, 1]`.
        loss_function: distance of values and targets: `"l1"`, `"l2"`, `"smooth_l1"`.
        delay_actor: keep a delayed copy of the actor for the targets.
        delay_value: keep a delayed copy of the critic for the targets.
        gamma: discount, 0.99 by default; see `make_value_estimator`.
        separate_losses: hold parameters that actor and critic share out of the critic's loss.
        reduction: `"mean"` (default), `"sum"` or `"none"`.
        use_prioritized_weights: whether `priority_weight` weighs the losses.

    Reads:
        networks' in_keys: at the root and under `"next"`, `[*B, ...]`.
        action: `[*B, n]`.
        ("next", "reward"), ("next", "done"), ("next", "terminated"): `[*B, 1]`.
        priority_weight: `[*B]`, optional.
    Writes:
        td_error: `[*B]`, the absolute error. Returns `loss_actor`, `loss_value` and, detached,
        `pred_value`, `target_value`, `pred_value_max`, `target_value_max`.

    Example:
        >>> from tensordict.nn import TensorDictModule
        >>> class Critic(nn.Linear):
        ...     def forward(self, observation, action):
        ...         return super().forward(torch.cat([observation, action], -1))
        >>> actor = TensorDictModule(nn.Linear(3, 2), ["observation"], ["action"])
        >>> keys = ["observation", "action"]
        >>> critic = TensorDictModule(Critic(5, 1), keys, ["state_action_value"])
        >>> DDPGLoss(actor, critic).has_target_params
        True
    """

    @dataclass(frozen=True)
    class _AcceptedKeys:
        state_action_value: NestedKey = "state_action_value"
        priority: NestedKey = "td_error"
        reward: NestedKey = "reward"
        done: NestedKey = "done"
        terminated: NestedKey = "terminated"
        priority_weight: NestedKey = "priority_weight"

    default_value_estimator = ValueEstimators.TD0

    def __init__(  # noqa: PLR0913
        self,
        actor_network: nn.Module,
        value_network: nn.Module,
        *,
        loss_function: str = "l2",
        delay_actor: bool = False,
        delay_value: bool = True,
        gamma: float | None = None,
        separate_losses: bool = False,
        reduction: str | None = None,
        use_prioritized_weights: bool | str = "auto",
    ) -> None:
        super().__init__(reduction=reduction, use_prioritized_weights=use_prioritized_weights)
        self.convert_to_functional(actor_network, "actor_network", create_target_params=delay_actor)
        self.convert_to_functional(value_network, "value_network", create_target_params=delay_value)
        self.loss_function = loss_function
        self.separate_losses = separate_losses
        if gamma is not None:
            self._hyperparams["gamma"] = gamma
        self.make_value_estimator()

    @dispatch
    def forward(self, tensordict: TensorDictBase) -> TensorDict:
        """Return the losses and metrics of a batch, into which the priority is written."""
        loss_value, metrics = self.loss_value(tensordict)
        loss_actor, _ = self.loss_actor(tensordict)
        tensordict.set(self._tensor_keys.priority, metrics.pop("td_error"))
        return self._output({"loss_actor": loss_actor, "loss_value": loss_value, **metrics})

    @loss_method
    def loss_actor(self, tensordict: TensorDictBase) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the actor's loss alone."""
        actor, critic = self.__dict__["actor_network"], self.__dict__["value_network"]
        data = inputs_of(tensordict, [*actor.in_keys, *critic.in_keys])
        value = self._call("value_network", actor(data), detach=True)
        loss = -value.get(self._tensor_keys.state_action_value).squeeze(-1)
        mask, weights = self._mask(tensordict), self._priority_weights(tensordict)
        return self._reduce(loss, mask, weights), {}

    @loss_method
    def loss_value(self, tensordict: TensorDictBase) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the critic's loss alone, and its metrics."""
        key = self._tensor_keys.state_action_value
        critic = self.__dict__["value_network"]
        inputs = inputs_of(tensordict, critic.in_keys)
        apart = "actor_network" if self.separate_losses else None
        value = self._call("value_network", inputs, apart_from=apart).get(key).squeeze(-1)
        with torch.no_grad():
            target = self._target(tensordict)
            error = (value - target).abs()
        loss = distance_loss(value, target, self.loss_function)
        mask, weights = self._mask(tensordict), self._priority_weights(tensordict)
        pred = value.detach()
        metrics = {
            "td_error": error,
            "pred_value": pred.mean(),
            "target_value": target.mean(),
            "pred_value_max": pred.max(),
            "target_value_max": target.max(),
        }
        return self._reduce(loss, mask, weights), metrics

    def _target(self, tensordict: TensorDictBase) -> Tensor:
        actor, critic = self.__dict__["actor_network"], self.__dict__["value_network"]
        following = inputs_of(tensordict.get("next"), [*actor.in_keys, *critic.in_keys])
        following = self._call("actor_network", following, target=True)
        value = self._call("value_network", following, target=True)
        next_value = value.get(self._tensor_keys.state_action_value)
        return self.value_estimator.value_estimate(tensordict, next_value=next_value).squeeze(-1)

    def _read_keys(self) -> list[NestedKey]:
        names, actor = self._tensor_keys, self.__dict__["actor_network"]
        inputs = [*actor.in_keys, *self.__dict__["value_network"].in_keys]
        states = [k for k in inputs if k not in actor.out_keys]
        flags = [names.reward, names.done, names.terminated]
        return [*inputs, *(in_next(k) for k in (*flags, *states)), names.priority_weight]

    def _written_keys(self) -> list[str]:
        metrics = ["pred_value", "target_value", "pred_value_max", "target_value_max"]
        return ["loss_actor", "loss_value", *metrics]
