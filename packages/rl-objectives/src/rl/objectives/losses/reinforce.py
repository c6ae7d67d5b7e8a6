"""REINFORCE."""

from __future__ import annotations

from tensordict import NestedKey, TensorDict, TensorDictBase
from tensordict.nn import dispatch
from torch import nn

from rl.objectives.losses.policy_gradient import PolicyGradientLoss

__all__ = ["ReinforceLoss"]


class ReinforceLoss(PolicyGradientLoss):
    """Score-function gradient with an optional baseline (Williams, 1992).

    Args:
        actor_network: probabilistic actor.
        critic_network: the baseline; without it only `loss_actor` is returned.
        delay_value: keep a delayed copy of the baseline for the value targets.
        loss_critic_type: `"l1"`, `"l2"` or `"smooth_l1"`.
        gamma: discount of the advantages that the loss computes when the batch has none.
        advantage_key: name of the advantage; `set_keys` does the same for all names.
        value_target_key: name of the target.
        separate_losses: hold parameters that actor and critic share out of the critic's loss.
        functional: `False` registers the networks as ordinary submodules.
        reduction: `"mean"` (default), `"sum"` or `"none"`.
        clip_value: keep the value within this distance of the stored one in the critic's loss.

    Reads:
        actor_network.in_keys, critic_network.in_keys: `[*B, ...]`.
        action: `[*B, ...]`.
        advantage, value_target: `[*B, 1]`; computed by the value estimator when absent from a
            batch of trajectories.
    Writes:
        nothing; returns `loss_actor` and `loss_value`.

    Example:
        >>> import torch
        >>> from rl.core.distributions import OneHotCategorical
        >>> from tensordict.nn import ProbabilisticTensorDictModule as Prob
        >>> from tensordict.nn import ProbabilisticTensorDictSequential as ProbSequential
        >>> from tensordict.nn import TensorDictModule
        >>> head = Prob(["logits"], ["action"], distribution_class=OneHotCategorical)
        >>> net = TensorDictModule(nn.Linear(3, 2), ["obs"], ["logits"])
        >>> loss = ReinforceLoss(ProbSequential(net, head))
        >>> batch = {"obs": torch.randn(4, 3), "action": torch.eye(2).repeat(2, 1)}
        >>> list(loss(TensorDict({**batch, "advantage": torch.ones(4, 1)}, [4])).keys())
        ['loss_actor']
    """

    def __init__(  # noqa: PLR0913
        self,
        actor_network: nn.Module,
        critic_network: nn.Module | None = None,
        *,
        delay_value: bool = False,
        loss_critic_type: str = "smooth_l1",
        gamma: float | None = None,
        advantage_key: NestedKey | None = None,
        value_target_key: NestedKey | None = None,
        separate_losses: bool = False,
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
            delay_value=delay_value,
        )
        given = {"advantage": advantage_key, "value_target": value_target_key}
        if renamed := {name: key for name, key in given.items() if key is not None}:
            self.set_keys(**renamed)

    @dispatch
    def forward(self, tensordict: TensorDictBase) -> TensorDict:
        """Return the losses of a batch.

        Raises:
            MissingKeyError: without advantages in a batch of single steps.
            ShapeError: on an advantage without a trailing dimension.
        """
        tensordict = self._with_advantage(tensordict)
        mask = self._mask(tensordict)
        log_prob = self._log_prob(self._dist(tensordict), tensordict)
        advantage = self._advantage(tensordict, log_prob.shape)
        values = {"loss_actor": -self._reduce(log_prob * advantage, mask)}
        if "critic_network" in self.__dict__:
            loss, _, metrics = self._critic_terms(tensordict, mask)
            values["loss_value"] = self._reduce(loss, mask)
            values.update(metrics)
        return self._output(values)

    def _written_keys(self) -> list[str]:
        keys = ["loss_actor"]
        if "critic_network" in self.__dict__:
            keys.append("loss_value")
            keys += ["value_clip_fraction"] if self.clip_value is not None else []
        return keys
