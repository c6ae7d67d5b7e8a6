"""Advantage actor-critic."""

from __future__ import annotations

from collections.abc import Mapping

from tensordict import NestedKey, TensorDict, TensorDictBase
from tensordict.nn import dispatch
from torch import nn

from rl.objectives.losses.policy_gradient import PolicyGradientLoss

__all__ = ["A2CLoss"]


class A2CLoss(PolicyGradientLoss):
    """Policy gradient with a critic (Mnih et al., 2016, A3C, arXiv:1602.01783, section 4).

    Args:
        actor_network: probabilistic actor.
        critic_network: writes `state_value`; without it only the actor's losses are returned.
        entropy_bonus: whether a loss raises the entropy of the policy.
        samples_mc_entropy: draws that estimate an entropy without closed form.
        entropy_coeff: weight of the entropy, 0.01 by default, or one per action head.
        critic_coeff: weight of the critic's loss. `None` leaves that loss out.
        loss_critic_type: `"l1"`, `"l2"` or `"smooth_l1"`.
        gamma: discount of the advantages that the loss computes when the batch has none.
        separate_losses: hold parameters that actor and critic share out of the critic's loss.
        advantage_key: name of the advantage; `set_keys` does the same for all names.
        value_target_key: name of the target.
        functional: `False` registers the networks as ordinary submodules.
        reduction: `"mean"` (default), `"sum"` or `"none"`.
        clip_value: keep the value within this distance of the stored one in the critic's loss.

    Reads:
        actor_network.in_keys, critic_network.in_keys: `[*B, ...]`.
        action: `[*B, ...]`.
        advantage, value_target: `[*B, 1]`; computed by the value estimator when absent from a
            batch of trajectories.
    Writes:
        nothing; returns `loss_objective`, `loss_critic`, `loss_entropy` and, detached, `entropy`.

    Example:
        >>> import torch
        >>> from rl.core.distributions import OneHotCategorical
        >>> from tensordict.nn import ProbabilisticTensorDictModule as Prob
        >>> from tensordict.nn import ProbabilisticTensorDictSequential as ProbSequential
        >>> from tensordict.nn import TensorDictModule
        >>> head = Prob(["logits"], ["action"], distribution_class=OneHotCategorical)
        >>> net = TensorDictModule(nn.Linear(3, 2), ["obs"], ["logits"])
        >>> loss = A2CLoss(ProbSequential(net, head))
        >>> batch = {"obs": torch.randn(4, 3), "action": torch.eye(2).repeat(2, 1)}
        >>> loss(TensorDict({**batch, "advantage": torch.ones(4, 1)}, [4]))["entropy"] > 0
        tensor(True)
    """

    def __init__(  # noqa: PLR0913
        self,
        actor_network: nn.Module,
        critic_network: nn.Module | None = None,
        *,
        entropy_bonus: bool = True,
        samples_mc_entropy: int = 1,
        entropy_coeff: float | Mapping[NestedKey, float] | None = None,
        critic_coeff: float | None = 1.0,
        loss_critic_type: str = "smooth_l1",
        gamma: float | None = None,
        separate_losses: bool = False,
        advantage_key: NestedKey | None = None,
        value_target_key: NestedKey | None = None,
        functional: bool = True,
        reduction: str | None = None,
        clip_value: float | None = None,
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
        self.register_coeff_buffer("critic_coeff", critic_coeff if critic_network else None)
        given = {"advantage": advantage_key, "value_target": value_target_key}
        if renamed := {name: key for name, key in given.items() if key is not None}:
            self.set_keys(**renamed)

    @dispatch
    def forward(self, tensordict: TensorDictBase) -> TensorDict:
        """Return the losses and metrics of a batch.

        Raises:
            MissingKeyError: without advantages in a batch of single steps.
            ShapeError: on an advantage without a trailing dimension.
        """
        tensordict = self._with_advantage(tensordict)
        mask = self._mask(tensordict)
        dist = self._dist(tensordict)
        log_prob = self._log_prob(dist, tensordict)
        advantage = self._advantage(tensordict, log_prob.shape)
        values = {"loss_objective": -self._reduce(log_prob * advantage, mask)}
        if self.entropy_bonus:
            values.update(self._entropy_terms(dist, tensordict, mask))
        if self.critic_coeff is not None:
            loss, _, metrics = self._critic_terms(tensordict, mask)
            values["loss_critic"] = self._reduce(loss, mask) * self.critic_coeff
            values.update(metrics)
        return self._output(values)

    def _written_keys(self) -> list[str]:
        keys = ["loss_objective"]
        keys += ["loss_critic"] if self.critic_coeff is not None else []
        keys += ["entropy", "loss_entropy"] if self.entropy_bonus else []
        if self.critic_coeff is not None and self.clip_value is not None:
            keys.append("value_clip_fraction")
        return keys
