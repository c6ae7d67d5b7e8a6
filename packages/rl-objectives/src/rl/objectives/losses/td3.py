"""Twin delayed deterministic policy gradient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from tensordict import NestedKey, TensorDict, TensorDictBase
from tensordict.nn import dispatch
from torch import Tensor, nn

from rl.core.contract.keys import in_next
from rl.objectives.losses.base import LossModule
from rl.objectives.losses.mode import loss_method
from rl.objectives.losses.reduction import distance_loss, masked_mean
from rl.objectives.stateless import inputs_of
from rl.objectives.value.registry import ValueEstimators

__all__ = ["TD3Loss"]


class TD3Loss(LossModule):
    """Clipped double Q-learning with smoothed targets (Fujimoto et al., 2018, arXiv:1802.09477).

    Args:
        actor_network: writes `action`.
        qvalue_network: reads the action too, writes `state_action_value`, `[*B, 1]`; or a list.
        action_spec: spec of one action, for its bounds. Give it or `bounds`.
        bounds: `(low, high)` of the action.
        num_qvalue_nets: number of critics, drawn anew from `qvalue_network`.
        policy_noise: standard deviation of the noise on the next action.
        noise_clip: bound of that noise.
        loss_function: distance of values and targets: `"l1"`, `"l2"`, `"smooth_l1"`.
        delay_actor: keep a delayed copy of the actor for the targets.
        delay_qvalue: keep a delayed copy of the critics for the targets.
        gamma: discount, 0.99 by default; see `make_value_estimator`.
        priority_key: name of the priority; `set_keys` does the same for all names.
        separate_losses: hold parameters that actor and critics share out of the critics' loss.
        reduction: `"mean"` (default), `"sum"` or `"none"`.
        deactivate_vmap: loop over the critics, for networks that vmap does not support.
        use_prioritized_weights: whether `priority_weight` weighs the losses.

    Reads:
        networks' in_keys: at the root and under `"next"`, `[*B, ...]`.
        action: `[*B, n]`.
        ("next", "reward"), ("next", "done"), ("next", "terminated"): `[*B, 1]`.
        priority_weight: `[*B]`, optional.
    Writes:
        td_error: `[*B]`, the largest absolute error of the critics. Returns `loss_actor`,
        `loss_qvalue` and, detached, the means `state_action_value_actor`, `pred_value`,
        `next_state_value`, `target_value`.

    Example:
        >>> from tensordict.nn import TensorDictModule
        >>> class Critic(nn.Linear):
        ...     def forward(self, observation, action):
        ...         return super().forward(torch.cat([observation, action], -1))
        >>> actor = TensorDictModule(nn.Linear(3, 2), ["observation"], ["action"])
        >>> keys = ["observation", "action"]
        >>> critic = TensorDictModule(Critic(5, 1), keys, ["state_action_value"])
        >>> TD3Loss(actor, critic, bounds=(-1.0, 1.0)).num_qvalue_nets
        2
    """

    @dataclass(frozen=True)
    class _AcceptedKeys:
        action: NestedKey = "action"
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
        qvalue_network: nn.Module | Sequence[nn.Module],
        *,
        action_spec: Any = None,  # noqa: ANN401
        bounds: tuple[float | Tensor, float | Tensor] | None = None,
        num_qvalue_nets: int = 2,
        policy_noise: float = 0.2,
        noise_clip: float = 0.5,
        loss_function: str = "smooth_l1",
        delay_actor: bool = True,
        delay_qvalue: bool = True,
        gamma: float | None = None,
        priority_key: NestedKey | None = None,
        separate_losses: bool = False,
        reduction: str | None = None,
        deactivate_vmap: bool = False,
        use_prioritized_weights: bool | str = "auto",
    ) -> None:
        super().__init__(reduction=reduction, use_prioritized_weights=use_prioritized_weights)
        self.convert_to_functional(actor_network, "actor_network", create_target_params=delay_actor)
        if not isinstance(qvalue_network, nn.Module):
            num_qvalue_nets = len(qvalue_network)
        self.convert_to_functional(
            qvalue_network,
            "qvalue_network",
            expand_dim=num_qvalue_nets,
            create_target_params=delay_qvalue,
        )
        self.num_qvalue_nets = num_qvalue_nets
        self.policy_noise, self.noise_clip = policy_noise, noise_clip
        self.loss_function = loss_function
        self.separate_losses = separate_losses
        self.deactivate_vmap = deactivate_vmap
        if gamma is not None:
            self._hyperparams["gamma"] = gamma
        if priority_key is not None:
            self.set_keys(priority=priority_key)
        low, high = _bounds(action_spec, bounds, self._tensor_keys.action)
        self.register_buffer("min_action", low)
        self.register_buffer("max_action", high)
        self.make_value_estimator()

    @dispatch
    def forward(self, tensordict: TensorDictBase) -> TensorDict:
        """Return the losses and metrics of a batch, into which the priority is written."""
        loss_actor, actor_metrics = self.actor_loss(tensordict)
        loss_qvalue, metrics = self.qvalue_loss(tensordict)
        tensordict.set(self._tensor_keys.priority, metrics.pop("td_error"))
        return self._output(
            {"loss_actor": loss_actor, "loss_qvalue": loss_qvalue, **actor_metrics, **metrics}
        )

    @loss_method
    def actor_loss(self, tensordict: TensorDictBase) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the actor's loss alone, and its metric."""
        actor = self.__dict__["actor_network"]
        action = actor(inputs_of(tensordict, actor.in_keys)).get(self._tensor_keys.action)
        value = self._qvalues(tensordict, action, detach=True)[0]
        mask, weights = self._mask(tensordict), self._priority_weights(tensordict)
        metrics = {"state_action_value_actor": masked_mean(value.detach(), mask)}
        return self._reduce(-value, mask, weights), metrics

    @loss_method
    def qvalue_loss(self, tensordict: TensorDictBase) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the critics' loss alone, and its metrics."""
        with torch.no_grad():
            next_value = self._next_value(tensordict)
            target = self.value_estimator.value_estimate(tensordict, next_value=next_value).squeeze(
                -1
            )
        action = tensordict.get(self._tensor_keys.action)
        values = self._qvalues(tensordict, action)
        targets = target.expand_as(values)
        loss = distance_loss(values, targets, self.loss_function).sum(0)
        mask, weights = self._mask(tensordict), self._priority_weights(tensordict)
        metrics = {
            "td_error": (values.detach() - targets).abs().amax(0),
            "pred_value": masked_mean(values.detach().mean(0), mask),
            "next_state_value": masked_mean(next_value.squeeze(-1), mask),
            "target_value": masked_mean(target, mask),
        }
        return self._reduce(loss, mask, weights), metrics

    def _next_value(self, tensordict: TensorDictBase) -> Tensor:
        following = tensordict.get("next")
        inputs = inputs_of(following, self.__dict__["actor_network"].in_keys)
        action = self._call("actor_network", inputs, target=True).get(self._tensor_keys.action)
        noise = torch.randn_like(action).mul_(self.policy_noise)
        noise.clamp_(-self.noise_clip, self.noise_clip)
        action = (action + noise).clamp(self.min_action, self.max_action)
        return self._qvalues(following, action, target=True).amin(0).unsqueeze(-1)

    def _qvalues(
        self,
        tensordict: TensorDictBase,
        action: Tensor,
        *,
        target: bool = False,
        detach: bool = False,
    ) -> Tensor:
        """Return the value of `action` for each critic, `[N, *B]`."""
        inputs = inputs_of(tensordict, self.__dict__["qvalue_network"].in_keys)
        inputs.set(self._tensor_keys.action, action)
        key = self._tensor_keys.state_action_value
        values = self._call_ensemble(
            "qvalue_network",
            inputs,
            key,
            target=target,
            detach=detach,
            hold_shared=self.separate_losses,
        )
        return values.squeeze(-1)

    def _read_keys(self) -> list[NestedKey]:
        names = self._tensor_keys
        inputs = [k for name in self._network_names for k in getattr(self, name).in_keys]
        states = [k for k in inputs if k != names.action]
        flags = [names.reward, names.done, names.terminated]
        steps = [in_next(k) for k in (*flags, *states)]
        return [*states, *steps, names.action, names.priority_weight]

    def _written_keys(self) -> list[str]:
        metrics = ["pred_value", "next_state_value", "target_value"]
        return ["loss_actor", "loss_qvalue", "state_action_value_actor", *metrics]


def _bounds(
    spec: Any,  # noqa: ANN401
    bounds: tuple[float | Tensor, float | Tensor] | None,
    key: NestedKey,
) -> tuple[Tensor, Tensor]:
    if (spec is None) == (bounds is None):
        raise ValueError(
            "The smoothed next action is clipped to its bounds: pass `action_spec=` or "
            "`bounds=(low, high)`, one of them."
        )
    if bounds is None:
        leaf = spec[key] if hasattr(spec, "keys") else spec
        bounds = (leaf.space.low, leaf.space.high)
    low, high = (torch.as_tensor(b, dtype=torch.get_default_dtype()).clone() for b in bounds)
    return low, high
