"""Soft actor-critic for discrete actions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from tensordict import NestedKey, TensorDict, TensorDictBase
from tensordict.nn import dispatch
from torch import Tensor, nn

from rl.core.contract.keys import in_next
from rl.objectives.log_prob import policy_dist
from rl.objectives.losses.action_space import check_action, chosen_value, loss_action_space
from rl.objectives.losses.mode import loss_method
from rl.objectives.losses.reduction import distance_loss, masked_mean
from rl.objectives.losses.temperature import TemperatureSettings, TemperedLoss
from rl.objectives.stateless import inputs_of
from rl.objectives.value.registry import ValueEstimators

__all__ = ["DiscreteSACLoss"]


class DiscreteSACLoss(TemperedLoss):
    """Soft actor-critic whose expectations over actions are sums (Christodoulou, 2019).

    See arXiv:1910.07207, equations 10 to 12.

    Args:
        actor_network: probabilistic actor over categories.
        qvalue_network: writes `action_value`, `[*B, n]`; or a list of such networks.
        action_space: `"one_hot"`, `"categorical"` or a spec. Default: what the networks say.
        num_actions: number of actions n; needed by `target_entropy="auto"`.
        num_qvalue_nets: number of critics, drawn anew from `qvalue_network`.
        loss_function: distance of values and targets: `"l1"`, `"l2"`, `"smooth_l1"`.
        alpha_init: first temperature.
        min_alpha: floor of the temperature.
        max_alpha: ceiling of the temperature.
        fixed_alpha: keep the first temperature.
        target_entropy_weight: share of the largest entropy that `"auto"` aims at.
        target_entropy: nats; `"auto"` is `target_entropy_weight * log(num_actions)`.
        delay_qvalue: keep a delayed copy of the critics for the targets.
        priority_key: name of the priority; `set_keys` does the same for all names.
        separate_losses: hold parameters that actor and critics share out of the critics' loss.
        reduction: `"mean"` (default), `"sum"` or `"none"`.
        skip_done_states: do not call the networks on next observations of terminal steps.
        deactivate_vmap: loop over the critics, for networks that vmap does not support.
        use_prioritized_weights: whether `priority_weight` weighs the losses.
        gamma: discount, 0.99 by default; see `make_value_estimator`.

    Reads:
        networks' in_keys: at the root and under `"next"`, `[*B, ...]`.
        action: `[*B, n]`, or `[*B]` and `[*B, 1]` when categorical.
        ("next", "reward"), ("next", "done"), ("next", "terminated"): `[*B, 1]`.
        priority_weight: `[*B]`, optional.
    Writes:
        td_error: `[*B]`, the largest absolute error of the critics. Returns `loss_actor`,
        `loss_qvalue`, `loss_alpha` and, detached, `alpha`, `entropy`.

    Example:
        >>> from rl.core.distributions import OneHotCategorical
        >>> from tensordict.nn import ProbabilisticTensorDictModule as Prob
        >>> from tensordict.nn import ProbabilisticTensorDictSequential as ProbSequential
        >>> from tensordict.nn import TensorDictModule
        >>> head = Prob(["logits"], ["action"], distribution_class=OneHotCategorical)
        >>> actor = ProbSequential(TensorDictModule(nn.Linear(3, 2), ["obs"], ["logits"]), head)
        >>> qvalue = TensorDictModule(nn.Linear(3, 2), ["obs"], ["action_value"])
        >>> loss = DiscreteSACLoss(actor, qvalue, action_space="one_hot", num_actions=2)
        >>> round(loss.target_entropy.item(), 4)
        0.6793
    """

    @dataclass(frozen=True)
    class _AcceptedKeys:
        action: NestedKey = "action"
        value: NestedKey = "state_value"
        action_value: NestedKey = "action_value"
        log_prob: NestedKey = "log_prob"
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
        action_space: Any = None,  # noqa: ANN401
        num_actions: int | None = None,
        num_qvalue_nets: int = 2,
        loss_function: str = "smooth_l1",
        alpha_init: float = 1.0,
        min_alpha: float | None = None,
        max_alpha: float | None = None,
        fixed_alpha: bool = False,
        target_entropy_weight: float = 0.98,
        target_entropy: float | str = "auto",
        delay_qvalue: bool = True,
        priority_key: NestedKey | None = None,
        separate_losses: bool = False,
        reduction: str | None = None,
        skip_done_states: bool = False,
        deactivate_vmap: bool = False,
        use_prioritized_weights: bool | str = "auto",
        gamma: float | None = None,
    ) -> None:
        super().__init__(reduction=reduction, use_prioritized_weights=use_prioritized_weights)
        self.convert_to_functional(actor_network, "actor_network")
        if not isinstance(qvalue_network, nn.Module):
            num_qvalue_nets = len(qvalue_network)
        self.convert_to_functional(
            qvalue_network,
            "qvalue_network",
            expand_dim=num_qvalue_nets,
            create_target_params=delay_qvalue,
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
        key = self._tensor_keys.action
        self.action_space = loss_action_space(action_space, actor_network, key)
        entropy = target_entropy
        if entropy == "auto":
            if num_actions is None and not fixed_alpha:
                raise ValueError(
                    '`target_entropy="auto"` counts the actions: pass `num_actions=`, or a number '
                    "as `target_entropy`."
                )
            entropy = target_entropy_weight * math.log(num_actions or 1)
        self._set_temperature(
            TemperatureSettings(alpha_init, min_alpha, max_alpha, fixed_alpha, entropy)
        )
        self.make_value_estimator()

    @dispatch
    def forward(self, tensordict: TensorDictBase) -> TensorDict:
        """Return the losses and metrics of a batch, into which the priority is written.

        Raises:
            ShapeError: when the action does not fit the action space.
        """
        mask, weights = self._mask(tensordict), self._priority_weights(tensordict)
        alpha = self.alpha
        loss_qvalue, td_error = self._qvalue_terms(tensordict, alpha)
        tensordict.set(self._tensor_keys.priority, td_error)
        loss_actor, entropy = self._actor_terms(tensordict, alpha)
        values = {
            "loss_actor": self._reduce(loss_actor, mask, weights),
            "loss_qvalue": self._reduce(loss_qvalue, mask, weights),
            "loss_alpha": self._alpha_loss(-entropy, mask, weights),
            "alpha": alpha,
            "entropy": masked_mean(entropy, mask),
        }
        return self._output(values)

    @loss_method
    def actor_loss(self, tensordict: TensorDictBase) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the actor's loss alone, and the entropy of the policy at each step."""
        loss, entropy = self._actor_terms(tensordict, self.alpha)
        mask, weights = self._mask(tensordict), self._priority_weights(tensordict)
        return self._reduce(loss, mask, weights), {"entropy": entropy}

    @loss_method
    def qvalue_loss(self, tensordict: TensorDictBase) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the critics' loss alone, and the error of each step."""
        loss, td_error = self._qvalue_terms(tensordict, self.alpha)
        mask, weights = self._mask(tensordict), self._priority_weights(tensordict)
        return self._reduce(loss, mask, weights), {"td_error": td_error}

    def _actor_terms(self, tensordict: TensorDictBase, alpha: Tensor) -> tuple[Tensor, Tensor]:
        probs, log_probs = self._policy(tensordict)
        with torch.no_grad():
            values = self._qvalues(tensordict).amin(0)
        loss = (probs * (alpha * log_probs - values)).sum(-1)
        return loss, -(probs * log_probs).sum(-1).detach()

    def _qvalue_terms(self, tensordict: TensorDictBase, alpha: Tensor) -> tuple[Tensor, Tensor]:
        names = self._tensor_keys
        with torch.no_grad():
            next_value = self._next_value(tensordict, alpha)
            target = self.value_estimator.value_estimate(tensordict, next_value=next_value)
            target = target.squeeze(-1)
        values = self._qvalues(tensordict)
        action = tensordict.get(names.action)
        check_action(action, values[0], self.action_space, names.action)
        chosen = chosen_value(values, action.expand(len(values), *action.shape), self.action_space)
        target = target.expand_as(chosen)
        error = (chosen.detach() - target).abs().amax(0)
        return distance_loss(chosen, target, self.loss_function).sum(0), error

    def _soft_value(self, following: TensorDictBase, alpha: Tensor) -> Tensor:
        probs, log_probs = self._policy(following)
        values = self._qvalues(following, target=True).amin(0)
        return (probs * (values - alpha * log_probs)).sum(-1)

    def _policy(self, tensordict: TensorDictBase) -> tuple[Tensor, Tensor]:
        """Return the probability of each action and its logarithm, `[*B, n]`."""
        dist = policy_dist(self.__dict__["actor_network"], tensordict)
        log_probs = dist.logits.log_softmax(-1)
        probs = log_probs.exp()
        # an action that a mask excludes has probability 0 and adds nothing, rather than 0 * inf
        return probs, log_probs.masked_fill(log_probs == -torch.inf, 0.0)

    def _qvalues(self, tensordict: TensorDictBase, *, target: bool = False) -> Tensor:
        """Return the value of every action for each critic, `[N, *B, n]`."""
        inputs = inputs_of(tensordict, self.__dict__["qvalue_network"].in_keys)
        key = self._tensor_keys.action_value
        hold = self.separate_losses
        return self._call_ensemble("qvalue_network", inputs, key, target=target, hold_shared=hold)

    def _read_keys(self) -> list[NestedKey]:
        names = self._tensor_keys
        inputs = [k for name in self._network_names for k in getattr(self, name).in_keys]
        flags = [names.reward, names.done, names.terminated]
        steps = [in_next(k) for k in (*flags, *inputs)]
        return [*inputs, *steps, names.action, names.priority_weight]

    def _written_keys(self) -> list[str]:
        return ["loss_actor", "loss_qvalue", "loss_alpha", "alpha", "entropy"]
