"""Proximal policy optimisation: the unclipped surrogate and what its variants share."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from tensordict import NestedKey, TensorDict, TensorDictBase
from tensordict.nn import dispatch
from torch import Tensor, nn
from torch.distributions import Distribution

from rl.core.errors import MissingKeyError
from rl.objectives.log_prob import check_log_prob
from rl.objectives.losses.mode import loss_method
from rl.objectives.losses.policy_gradient import PolicyGradientLoss
from rl.objectives.losses.reduction import masked_mean

__all__ = ["PPOLoss"]


class PPOLoss(PolicyGradientLoss):
    """Importance-weighted surrogate, -ratio * advantage (Schulman et al., 2017, equation 6).

    Args:
        actor_network: probabilistic actor.
        critic_network: writes `state_value`; without it only the actor's losses are returned.
        entropy_bonus: whether a loss raises the entropy of the policy.
        samples_mc_entropy: draws that estimate an entropy without closed form.
        entropy_coeff: weight of the entropy, 0.01 by default, or one per action head.
        log_explained_variance: whether `explained_variance` is returned.
        critic_coeff: weight of the critic's loss, 1 by default. `None` leaves that loss out.
        loss_critic_type: `"l1"`, `"l2"` or `"smooth_l1"`.
        normalize_advantage: standardise the advantages of the batch.
        normalize_advantage_exclude_dims: dimensions standardised element by element, as agents.
        gamma: discount of the advantages that the loss computes when the batch has none.
        separate_losses: hold parameters that actor and critic share out of the critic's loss.
        advantage_key: name of the advantage; `set_keys` does the same for all names.
        value_target_key: name of the target.
        value_key: name of the value.
        functional: `False` registers the networks as ordinary submodules.
        reduction: `"mean"` (default), `"sum"` or `"none"`.
        clip_value: keep the value within this distance of the stored one in the critic's loss.
        device: where the coefficients go.

    Reads:
        actor_network.in_keys, critic_network.in_keys: `[*B, ...]`.
        action: `[*B, ...]`.
        action_log_prob: `[*B]`, under the policy that collected the batch.
        advantage, value_target: `[*B, 1]`; computed by the value estimator when absent from a
            batch of trajectories.
    Writes:
        nothing; returns `loss_objective`, `loss_critic`, `loss_entropy` and, detached, `entropy`,
        `kl_approx`, `explained_variance`.

    Example:
        >>> from rl.core.distributions import IndependentNormal
        >>> from tensordict.nn import NormalParamExtractor, TensorDictModule
        >>> from tensordict.nn import ProbabilisticTensorDictModule as Prob
        >>> from tensordict.nn import ProbabilisticTensorDictSequential as ProbSequential
        >>> net = nn.Sequential(nn.Linear(3, 4), NormalParamExtractor())
        >>> head = Prob(["loc", "scale"], ["action"], distribution_class=IndependentNormal)
        >>> actor = ProbSequential(TensorDictModule(net, ["obs"], ["loc", "scale"]), head)
        >>> critic = TensorDictModule(nn.Linear(3, 1), ["obs"], ["state_value"])
        >>> loss = PPOLoss(actor, critic)
        >>> batch = {"obs": torch.randn(5, 3), "action": torch.randn(5, 2)}
        >>> batch |= {"action_log_prob": torch.randn(5), "advantage": torch.randn(5, 1)}
        >>> losses = loss(TensorDict({**batch, "value_target": torch.randn(5, 1)}, [5]))
        >>> sorted(key for key in losses.keys() if key.startswith("loss_"))
        ['loss_critic', 'loss_entropy', 'loss_objective']
    """

    def __init__(  # noqa: PLR0913
        self,
        actor_network: nn.Module,
        critic_network: nn.Module | None = None,
        *,
        entropy_bonus: bool = True,
        samples_mc_entropy: int = 1,
        entropy_coeff: float | Mapping[NestedKey, float] | None = None,
        log_explained_variance: bool = True,
        critic_coeff: float | None = 1.0,
        loss_critic_type: str = "smooth_l1",
        normalize_advantage: bool = False,
        normalize_advantage_exclude_dims: tuple[int, ...] = (),
        gamma: float | None = None,
        separate_losses: bool = False,
        advantage_key: NestedKey | None = None,
        value_target_key: NestedKey | None = None,
        value_key: NestedKey | None = None,
        functional: bool = True,
        reduction: str | None = None,
        clip_value: float | None = None,
        device: torch.device | None = None,
    ) -> None:
        super().__init__(
            actor_network,
            critic_network,
            loss_critic_type=loss_critic_type,
            separate_losses=separate_losses,
            clip_value=clip_value,
            gamma=gamma,
            reduction=reduction,
            functional=functional,
        )
        self.entropy_bonus = entropy_bonus
        self._set_entropy(entropy_coeff, samples_mc_entropy)
        self.log_explained_variance = log_explained_variance
        self.register_coeff_buffer("critic_coeff", critic_coeff if critic_network else None)
        self.normalize_advantage = normalize_advantage
        self.normalize_advantage_exclude_dims = tuple(normalize_advantage_exclude_dims)
        given = {
            "advantage": advantage_key,
            "value_target": value_target_key,
            "value": value_key,
        }
        if renamed := {name: key for name, key in given.items() if key is not None}:
            self.set_keys(**renamed)
        if device is not None:
            self.to(device)

    @dispatch
    def forward(self, tensordict: TensorDictBase) -> TensorDict:
        """Return the losses and metrics of a batch.

        Raises:
            MissingKeyError: without log-probs, or without advantages in a batch of single steps.
            ShapeError: on a log-prob with, or an advantage without, a trailing dimension.
        """
        tensordict = self._with_advantage(tensordict)
        mask = self._mask(tensordict)
        dist = self._dist(tensordict)
        log_weight = self._log_weight(dist, tensordict)
        advantage = self._advantage(tensordict, log_weight.shape)
        if self.normalize_advantage:
            advantage = self._normalised(advantage, self.normalize_advantage_exclude_dims, mask)
        values = self._objective(dist, tensordict, log_weight, advantage, mask)
        values["kl_approx"] = -masked_mean(log_weight.detach(), mask)
        if self.entropy_bonus:
            values.update(self._entropy_terms(dist, tensordict, mask))
        if self.critic_coeff is not None:
            values.update(self._critic_values(tensordict, mask))
        return self._output(values)

    @loss_method
    def loss_critic(self, tensordict: TensorDictBase) -> Tensor:
        """Return the critic's loss alone, weighted by `critic_coeff`."""
        return self._critic_values(self._with_advantage(tensordict), self._mask(tensordict))[
            "loss_critic"
        ]

    def _objective(
        self,
        dist: Distribution,
        tensordict: TensorDictBase,
        log_weight: Tensor,
        advantage: Tensor,
        mask: Tensor | None,
    ) -> dict[str, Tensor]:
        """Return the actor's loss and the metrics that go with it."""
        return {"loss_objective": -self._reduce(log_weight.exp() * advantage, mask)}

    def _log_weight(self, dist: Distribution, tensordict: TensorDictBase) -> Tensor:
        """Return log(pi / pi_old) of the actions, `[*B]`."""
        log_prob = self._log_prob(dist, tensordict)
        key = self._tensor_keys.sample_log_prob
        old = tensordict.get(key, None)
        if old is None:
            raise MissingKeyError(
                f"`{key}` is not in the batch: the ratio of the policies needs the log-prob at "
                "collection. Build the actor with `return_log_prob=True`, or name the entry with "
                "`set_keys(sample_log_prob=...)`."
            )
        check_log_prob(key, old, log_prob.shape)
        return log_prob - old

    def _critic_values(self, tensordict: TensorDictBase, mask: Tensor | None) -> dict[str, Tensor]:
        loss, value, metrics = self._critic_terms(tensordict, mask)
        values = {"loss_critic": self._reduce(loss, mask) * self.critic_coeff, **metrics}
        if self.log_explained_variance:
            target = tensordict.get(self._tensor_keys.value_target)
            values["explained_variance"] = _explained_variance(value.detach(), target, mask)
        return values

    def _read_keys(self) -> list[NestedKey]:
        return [self._tensor_keys.sample_log_prob, *super()._read_keys()]

    def _written_keys(self) -> list[str]:
        keys = ["loss_objective", *self._objective_metrics, "kl_approx"]
        if self.entropy_bonus:
            keys += ["entropy", "loss_entropy"]
        if self.critic_coeff is not None:
            keys.append("loss_critic")
            keys += ["value_clip_fraction"] if self.clip_value is not None else []
            keys += ["explained_variance"] if self.log_explained_variance else []
        return keys

    _objective_metrics: tuple[str, ...] = ()


def _explained_variance(value: Tensor, target: Tensor, mask: Tensor | None) -> Tensor:
    """Return 1 - var(target - value) / var(target): 1 for a perfect critic, 0 for a constant."""
    if mask is not None:
        value, target = value[mask], target[mask]
    return 1 - (target - value).var() / target.var().clamp_min(1e-8)
