"""Soft actor-critic for continuous actions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from tensordict import NestedKey, TensorDict, TensorDictBase
from tensordict.nn import dispatch
from torch import Tensor, nn
from torch.distributions import Distribution

from rl.core.contract.keys import in_next
from rl.core.distributions import rsample_and_log_prob
from rl.objectives.losses.mode import loss_method
from rl.objectives.losses.reduction import distance_loss, masked_mean
from rl.objectives.losses.temperature import (
    TemperatureSettings,
    TemperedLoss,
    continuous_target_entropy,
)
from rl.objectives.stateless import inputs_of
from rl.objectives.value.registry import ValueEstimators

__all__ = ["SACLoss"]


class SACLoss(TemperedLoss):
    """Soft actor-critic (Haarnoja et al., 2018, arXiv:1812.05905).

    With a `value_network` it is the first version (arXiv:1801.01290), whose critics bootstrap
    from a state-value network.

    Args:
        actor_network: probabilistic actor with a reparameterised distribution.
        qvalue_network: writes `state_action_value`, `[*B, 1]`; or a list of such networks.
        value_network: writes `state_value`, `[*B, 1]`.
        num_qvalue_nets: number of critics, drawn anew from `qvalue_network`.
        loss_function: distance of values and targets: `"l1"`, `"l2"`, `"smooth_l1"`.
        alpha_init: first temperature.
        min_alpha: floor of the temperature.
        max_alpha: ceiling of the temperature.
        action_spec: spec of one action, counted by `target_entropy="auto"`.
        fixed_alpha: keep the first temperature.
        target_entropy: nats; `"auto"` is minus the number of action components.
        delay_actor: keep a delayed copy of the actor for the targets.
        delay_qvalue: keep a delayed copy of the critics for the targets.
        delay_value: keep a delayed copy of the value network for the targets.
        gamma: discount, 0.99 by default; see `make_value_estimator`.
        priority_key: name of the priority; `set_keys` does the same for all names.
        separate_losses: hold parameters that actor and critics share out of the critics' loss.
        reduction: `"mean"` (default), `"sum"` or `"none"`.
        skip_done_states: do not call the networks on next observations of terminal steps.
        deactivate_vmap: loop over the critics, for networks that vmap does not support.
        use_prioritized_weights: whether `priority_weight` weighs the losses.

    Reads:
        networks' in_keys: at the root and under `"next"`, `[*B, ...]`.
        action: `[*B, n]`.
        ("next", "reward"), ("next", "done"), ("next", "terminated"): `[*B, 1]`.
        priority_weight: `[*B]`, optional.
    Writes:
        td_error: `[*B]`, the largest absolute error of the critics. Returns `loss_actor`,
        `loss_qvalue`, `loss_alpha` (`loss_value`) and, detached, `alpha`, `entropy`.

    Example:
        >>> from rl.core.distributions import TanhNormal
        >>> from tensordict.nn import NormalParamExtractor, TensorDictModule
        >>> from tensordict.nn import ProbabilisticTensorDictModule as Prob
        >>> from tensordict.nn import ProbabilisticTensorDictSequential as ProbSequential
        >>> net = nn.Sequential(nn.Linear(3, 4), NormalParamExtractor())
        >>> net = TensorDictModule(net, ["observation"], ["loc", "scale"])
        >>> head = Prob(["loc", "scale"], ["action"], distribution_class=TanhNormal)
        >>> class Critic(nn.Linear):
        ...     def forward(self, observation, action):
        ...         return super().forward(torch.cat([observation, action], -1))
        >>> keys = ["observation", "action"]
        >>> qvalue = TensorDictModule(Critic(5, 1), keys, ["state_action_value"])
        >>> loss = SACLoss(ProbSequential(net, head), qvalue, target_entropy=-2.0)
        >>> loss.qvalue_network_params["module", "weight"].shape
        torch.Size([2, 1, 5])
    """

    @dataclass(frozen=True)
    class _AcceptedKeys:
        action: NestedKey = "action"
        value: NestedKey = "state_value"
        state_action_value: NestedKey = "state_action_value"
        log_prob: NestedKey = "action_log_prob"
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
        value_network: nn.Module | None = None,
        *,
        num_qvalue_nets: int = 2,
        loss_function: str = "smooth_l1",
        alpha_init: float = 1.0,
        min_alpha: float | None = None,
        max_alpha: float | None = None,
        action_spec: Any = None,  # noqa: ANN401
        fixed_alpha: bool = False,
        target_entropy: float | str = "auto",
        delay_actor: bool = False,
        delay_qvalue: bool = True,
        delay_value: bool = True,
        gamma: float | None = None,
        priority_key: NestedKey | None = None,
        separate_losses: bool = False,
        reduction: str | None = None,
        skip_done_states: bool = False,
        deactivate_vmap: bool = False,
        use_prioritized_weights: bool | str = "auto",
    ) -> None:
        super().__init__(reduction=reduction, use_prioritized_weights=use_prioritized_weights)
        self.convert_to_functional(actor_network, "actor_network", create_target_params=delay_actor)
        self._version = 2 if value_network is None else 1
        if value_network is not None:
            self.convert_to_functional(
                value_network, "value_network", create_target_params=delay_value
            )
        if not isinstance(qvalue_network, nn.Module):
            num_qvalue_nets = len(qvalue_network)
        self.convert_to_functional(
            qvalue_network,
            "qvalue_network",
            expand_dim=num_qvalue_nets,
            create_target_params=delay_qvalue and self._version == 2,
        )
        self.num_qvalue_nets = num_qvalue_nets
        self.loss_function = loss_function
        self.separate_losses = separate_losses
        self.skip_done_states = skip_done_states
        self.deactivate_vmap = deactivate_vmap
        if gamma is not None:
            self._hyperparams["gamma"] = gamma
        if priority_key is not None:
            self.set_keys(priority=priority_key)
        entropy = continuous_target_entropy(
            target_entropy,
            action_spec,
            actor_network,
            self._tensor_keys.action,
            is_needed=not fixed_alpha,
        )
        self._set_temperature(
            TemperatureSettings(alpha_init, min_alpha, max_alpha, fixed_alpha, entropy)
        )
        self.make_value_estimator()

    @dispatch
    def forward(self, tensordict: TensorDictBase) -> TensorDict:
        """Return the losses and metrics of a batch, into which the priority is written."""
        mask, weights = self._mask(tensordict), self._priority_weights(tensordict)
        alpha = self.alpha
        loss_qvalue, td_error = self._qvalue_terms(tensordict, alpha)
        tensordict.set(self._tensor_keys.priority, td_error)
        loss_actor, log_prob, qvalue = self._actor_terms(tensordict, alpha)
        values = {
            "loss_actor": self._reduce(loss_actor, mask, weights),
            "loss_qvalue": self._reduce(loss_qvalue, mask, weights),
            "loss_alpha": self._alpha_loss(log_prob, mask, weights),
        }
        if self._version == 1:
            loss_value = self._value_terms(tensordict, log_prob, qvalue, alpha)
            values["loss_value"] = self._reduce(loss_value, mask, weights)
        values["alpha"] = alpha
        values["entropy"] = -masked_mean(log_prob.detach(), mask)
        return self._output(values)

    @loss_method
    def actor_loss(self, tensordict: TensorDictBase) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the actor's loss alone, and the log-prob of the actions it drew."""
        loss, log_prob, _ = self._actor_terms(tensordict, self.alpha)
        mask, weights = self._mask(tensordict), self._priority_weights(tensordict)
        return self._reduce(loss, mask, weights), {"log_prob": log_prob.detach()}

    @loss_method
    def qvalue_loss(self, tensordict: TensorDictBase) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the critics' loss alone, and the error of each step."""
        loss, td_error = self._qvalue_terms(tensordict, self.alpha)
        mask, weights = self._mask(tensordict), self._priority_weights(tensordict)
        return self._reduce(loss, mask, weights), {"td_error": td_error}

    def _actor_terms(
        self, tensordict: TensorDictBase, alpha: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the actor's loss, the log-prob of its actions and their value, each `[*B]`."""
        action, log_prob = self._draw(tensordict, target=False)
        qvalue = self._qvalues(tensordict, action, detach=True).amin(0)
        return alpha * log_prob - qvalue, log_prob, qvalue

    def _qvalue_terms(self, tensordict: TensorDictBase, alpha: Tensor) -> tuple[Tensor, Tensor]:
        """Return the critics' loss, summed over them, and the error, each `[*B]`."""
        with torch.no_grad():
            target = self.value_estimator.value_estimate(
                tensordict, next_value=self._next_value(tensordict, alpha)
            ).squeeze(-1)
        action = tensordict.get(self._tensor_keys.action)
        values = self._qvalues(tensordict, action, detach=False)
        target = target.expand_as(values)
        error = (values.detach() - target).abs().amax(0)
        return distance_loss(values, target, self.loss_function).sum(0), error

    def _value_terms(
        self, tensordict: TensorDictBase, log_prob: Tensor, qvalue: Tensor, alpha: Tensor
    ) -> Tensor:
        inputs = inputs_of(tensordict, self.__dict__["value_network"].in_keys)
        value = self._call("value_network", inputs).get(self._tensor_keys.value).squeeze(-1)
        target = (qvalue - alpha * log_prob).detach()
        return distance_loss(value, target, self.loss_function)

    def _soft_value(self, following: TensorDictBase, alpha: Tensor) -> Tensor:
        if self._version == 1:
            inputs = inputs_of(following, self.__dict__["value_network"].in_keys)
            output = self._call("value_network", inputs, target=True)
            return output.get(self._tensor_keys.value).squeeze(-1)
        action, log_prob = self._draw(following, target=True)
        return self._qvalues(following, action, target=True).amin(0) - alpha * log_prob

    def _draw(self, tensordict: TensorDictBase, *, target: bool) -> tuple[Tensor, Tensor]:
        return rsample_and_log_prob(self._dist(tensordict, target=target))

    def _dist(self, tensordict: TensorDictBase, *, target: bool) -> Distribution:
        actor = self.__dict__["actor_network"]
        inputs = inputs_of(tensordict, actor.in_keys)
        if not target or "actor_network" not in self._delayed:
            return actor.get_dist(inputs)
        with self.target_actor_network_params.to_module(actor):
            return actor.get_dist(inputs)

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
        following = [k for k in inputs if k != names.action]
        flags = [names.reward, names.done, names.terminated]
        steps = [in_next(k) for k in (*flags, *following)]
        return [*following, *steps, names.action, names.priority_weight]

    def _written_keys(self) -> list[str]:
        keys = ["loss_actor", "loss_qvalue", "loss_alpha", "alpha", "entropy"]
        return keys if self._version == 2 else [*keys, "loss_value"]
