"""What the on-policy losses share: advantages, log-probs, entropy bonus, critic loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from tensordict import NestedKey, TensorDictBase
from torch import Tensor, nn
from torch.distributions import Distribution

from rl.core.errors import MissingKeyError, ShapeError
from rl.objectives.log_prob import joint_log_prob, policy_dist
from rl.objectives.losses.base import LossModule
from rl.objectives.losses.entropy import entropy_coefficients, entropy_of, head_entropies
from rl.objectives.losses.reduction import distance_loss, masked_mean
from rl.objectives.stateless import inputs_of
from rl.objectives.value.normalise import standardised
from rl.objectives.value.registry import ValueEstimators

__all__ = ["PolicyGradientLoss"]


class PolicyGradientLoss(LossModule):
    """Base of PPO, A2C and REINFORCE: an actor scored by advantages, a critic by value targets.

    Args:
        actor_network: probabilistic actor.
        critic_network: writes `state_value`, `[*B, 1]`.
        loss_critic_type: distance of values and targets: `"l1"`, `"l2"`, `"smooth_l1"`.
        separate_losses: hold parameters that actor and critic share out of the critic's loss.
        clip_value: keep the value within this distance of the stored one in the critic's loss.
        gamma: discount of the advantages that the loss computes when the batch has none.
        reduction: `"mean"` (default), `"sum"` or `"none"`.
        functional: `False` registers the networks as ordinary submodules.
        delay_value: keep a delayed copy of the critic for the value targets.
    """

    @dataclass(frozen=True)
    class _AcceptedKeys:
        advantage: NestedKey = "advantage"
        value_target: NestedKey = "value_target"
        value: NestedKey = "state_value"
        sample_log_prob: NestedKey = "action_log_prob"
        action: NestedKey = "action"
        reward: NestedKey = "reward"
        done: NestedKey = "done"
        terminated: NestedKey = "terminated"

    default_value_estimator = ValueEstimators.GAE

    def __init__(  # noqa: PLR0913
        self,
        actor_network: nn.Module,
        critic_network: nn.Module | None,
        *,
        loss_critic_type: str = "smooth_l1",
        separate_losses: bool = False,
        clip_value: float | None = None,
        gamma: float | None = None,
        reduction: str | None = None,
        functional: bool = True,
        delay_value: bool = False,
    ) -> None:
        super().__init__(reduction=reduction)
        self.loss_critic_type = loss_critic_type
        self.separate_losses = separate_losses
        self.convert_to_functional(actor_network, "actor_network", functional=functional)
        if critic_network is not None:
            self.convert_to_functional(
                critic_network,
                "critic_network",
                create_target_params=delay_value,
                functional=functional,
            )
        self.register_coeff_buffer("clip_value", None if clip_value is None else float(clip_value))
        if gamma is not None:
            self._hyperparams["gamma"] = gamma
        self._keys_changed()
        self.make_value_estimator()

    # ---------------------------------------------------------------- advantages

    def _with_advantage(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Return the batch, or a shallow copy to which advantages were added."""
        key = self._tensor_keys.advantage
        if tensordict.get(key, None) is not None:
            return tensordict
        if tensordict.ndim < 2 and "time" not in tensordict.names:
            raise MissingKeyError(
                f"`{key}` is not in the batch of shape {list(tensordict.shape)}, and advantages "
                "need whole trajectories `[*B, T]`, not shuffled steps: run "
                "`GAE(gamma=..., lmbda=..., value_network=critic)` on the collected batch before "
                "it is shuffled."
            )
        tensordict = tensordict.copy()
        target = getattr(self, "target_critic_network_params", None) if self._delayed else None
        with torch.no_grad():
            self.value_estimator(tensordict, target_params=target)
        return tensordict

    def _advantage(self, tensordict: TensorDictBase, expected: torch.Size) -> Tensor:
        """Return the advantage `[*B]`."""
        key = self._tensor_keys.advantage
        advantage = tensordict.get(key)
        if advantage.shape != (*expected, 1):
            fix = (
                f"it lacks the trailing dimension, store `{key}.unsqueeze(-1)`."
                if advantage.shape == expected
                else "there is one advantage per log-prob of an action."
            )
            raise ShapeError(
                f"`{key}` has shape {list(advantage.shape)}, expected {[*expected, 1]}: {fix}"
            )
        return advantage.squeeze(-1)

    def _normalised(
        self, advantage: Tensor, exclude_dims: tuple[int, ...], mask: Tensor | None
    ) -> Tensor:
        if mask is None:
            return standardised(advantage, exclude_dims, min_scale=1e-6)
        valid = advantage[mask]
        return (advantage - valid.mean()) / valid.std().clamp_min(1e-6)

    # --------------------------------------------------------------------- actor

    def _dist(self, tensordict: TensorDictBase) -> Distribution:
        return policy_dist(self.actor_network, tensordict)

    def _log_prob(self, dist: Distribution, tensordict: TensorDictBase) -> Tensor:
        return joint_log_prob(dist, tensordict, self._action_keys)

    def _entropy_terms(
        self, dist: Distribution, tensordict: TensorDictBase, mask: Tensor | None
    ) -> dict[str, Tensor]:
        """Return the entropy, a metric, and the loss that raises it."""
        if hasattr(dist, "dists"):
            heads = head_entropies(dist, self.samples_mc_entropy, tensordict.ndim)
            entropy = sum(heads.values())
            bonus = entropy
            if self._head_coefficients is not None:
                weights = entropy_coefficients(heads, self._head_coefficients)
                bonus = sum(weights[head] * heads[head] for head in heads)
        else:
            entropy = bonus = entropy_of(dist, self.samples_mc_entropy)
        reduced = self._reduce(bonus, mask)
        is_mean = self.reduction == "mean" and bonus is entropy
        mean = reduced.detach() if is_mean else masked_mean(entropy.detach(), mask)
        return {"entropy": mean, "loss_entropy": -self.entropy_coeff * reduced}

    def _set_entropy(
        self, entropy_coeff: float | Mapping[NestedKey, float] | None, num_samples: int
    ) -> None:
        self.samples_mc_entropy = num_samples
        self._head_coefficients: dict | None = None
        if isinstance(entropy_coeff, Mapping):
            self._head_coefficients = dict(entropy_coeff)
            entropy_coeff = 1.0
        self.register_coeff_buffer(
            "entropy_coeff", 0.01 if entropy_coeff is None else entropy_coeff
        )

    # -------------------------------------------------------------------- critic

    def _critic_terms(
        self, tensordict: TensorDictBase, mask: Tensor | None
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Return the loss of each step, the value and the metrics of the critic."""
        names = self._tensor_keys
        target = tensordict.get(names.value_target, None)
        if target is None:
            raise MissingKeyError(
                f"`{names.value_target}` is not in the batch: the value estimator that wrote "
                "the advantage writes it too. Keep it, or pass `critic_coeff=None`."
            )
        value = self._value(tensordict)
        if target.shape != value.shape:
            raise ShapeError(
                f"`{names.value_target}` has shape {list(target.shape)}, expected "
                f"{list(value.shape)}, that of the critic's value: store it with the trailing "
                "dimension (`unsqueeze(-1)`)."
            )
        loss = distance_loss(value, target, self.loss_critic_type)
        metrics = {}
        if self.clip_value is not None:
            loss, fraction = self._clipped_value_loss(tensordict, value, target, loss)
            metrics["value_clip_fraction"] = masked_mean(fraction.squeeze(-1), mask)
        # a mean or a sum is the same with the trailing dimension, and one node of the graph less
        return (loss.squeeze(-1) if self.reduction == "none" else loss), value, metrics

    def _value(self, tensordict: TensorDictBase) -> Tensor:
        inputs = inputs_of(tensordict, self.__dict__["critic_network"].in_keys)
        apart = "actor_network" if self.separate_losses else None
        return self._call("critic_network", inputs, apart_from=apart).get(self._tensor_keys.value)

    def _clipped_value_loss(
        self, tensordict: TensorDictBase, value: Tensor, target: Tensor, loss: Tensor
    ) -> tuple[Tensor, Tensor]:
        key = self._tensor_keys.value
        old = tensordict.get(key, None)
        if old is None:
            raise MissingKeyError(
                f"`{key}` is not in the batch: `clip_value` compares the value with the one at "
                "collection. Keep what the value estimator wrote, or pass `clip_value=None`."
            )
        clipped = old + (value - old).clamp(-self.clip_value, self.clip_value)
        other = distance_loss(clipped, target, self.loss_critic_type)
        return torch.max(loss, other), (value != clipped).detach().to(loss.dtype)

    # ------------------------------------------------------------------ plumbing

    def _keys_changed(self) -> None:
        # a composite actor is scored on every action it samples; one action follows `set_keys`
        actor = self.__dict__["actor_network"]
        sampled = list(getattr(actor, "dist_sample_keys", None) or [])
        self._action_keys = sampled if len(sampled) > 1 else [self._tensor_keys.action]

    def _read_keys(self) -> list[NestedKey]:
        names = self._tensor_keys
        inputs = [k for name in self._network_names for k in getattr(self, name).in_keys]
        own = [*self._action_keys, names.advantage, names.value_target]
        return [*inputs, *own, *self._step_keys(self._critic_inputs())]

    def _critic_inputs(self) -> list[NestedKey]:
        critic = self.__dict__.get("critic_network")
        return [] if critic is None else list(critic.in_keys)

    def _estimator_networks(self, estimator: type) -> dict[str, Any]:
        networks = {"value_network": self.__dict__.get("critic_network")}
        if estimator.__name__ == "VTrace":
            networks["actor_network"] = self.__dict__["actor_network"]
        return networks
