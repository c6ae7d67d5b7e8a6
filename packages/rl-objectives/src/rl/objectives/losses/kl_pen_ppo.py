"""Proximal policy optimisation with an adaptive penalty on the KL divergence."""

from __future__ import annotations

from typing import Any

import torch
from tensordict import NestedKey, TensorDictBase
from torch import Tensor, nn
from torch.distributions import Distribution

from rl.core.distributions import kl_divergence, sample_and_log_prob
from rl.core.errors import MissingKeyError
from rl.objectives.losses.ppo import PPOLoss
from rl.objectives.losses.reduction import masked_mean
from rl.objectives.stateless import inputs_of

__all__ = ["KLPENPPOLoss"]


class KLPENPPOLoss(PPOLoss):
    """KL-penalised surrogate (Schulman et al., 2017, arXiv:1707.06347, section 4).

    Reads the parameters of the distribution at collection (`loc` and `scale`, or `logits`)
    besides what `PPOLoss` reads, and returns `kl`, the divergence from it.

    Args:
        actor_network: probabilistic actor.
        critic_network: writes `state_value`.
        dtarg: target divergence.
        beta: first weight of the penalty.
        increment: what multiplies `beta` when the divergence exceeds 1.5 `dtarg`.
        decrement: what multiplies `beta` when it is below `dtarg` / 1.5.
        samples_mc_kl: draws that estimate a divergence without closed form.
        **kwargs: arguments of `PPOLoss`.

    Example:
        >>> from rl.core.distributions import IndependentNormal
        >>> from tensordict import TensorDict
        >>> from tensordict.nn import NormalParamExtractor, TensorDictModule
        >>> from tensordict.nn import ProbabilisticTensorDictModule as Prob
        >>> from tensordict.nn import ProbabilisticTensorDictSequential as ProbSequential
        >>> net = nn.Sequential(nn.Linear(3, 4), NormalParamExtractor())
        >>> head = Prob(
        ...     ["loc", "scale"], ["action"], distribution_class=IndependentNormal,
        ...     return_log_prob=True, default_interaction_type="random",
        ... )
        >>> actor = ProbSequential(TensorDictModule(net, ["obs"], ["loc", "scale"]), head)
        >>> batch = actor(TensorDict({"obs": torch.randn(5, 3)}, [5])).detach()
        >>> batch["advantage"] = torch.ones(5, 1)
        >>> KLPENPPOLoss(actor)(batch)["kl"].item()
        0.0
    """

    _objective_metrics = ("kl",)

    def __init__(
        self,
        actor_network: nn.Module,
        critic_network: nn.Module | None = None,
        *,
        dtarg: float = 0.01,
        beta: float = 1.0,
        increment: float = 2.0,
        decrement: float = 0.5,
        samples_mc_kl: int = 1,
        **kwargs: Any,
    ) -> None:
        if increment < 1 or decrement > 1:
            raise ValueError(
                f"`increment` is {increment} and `decrement` {decrement}: the first must be at "
                "least 1, the second at most 1."
            )
        super().__init__(actor_network, critic_network, **kwargs)
        self.dtarg = dtarg
        self.increment, self.decrement = increment, decrement
        self.samples_mc_kl = samples_mc_kl
        self._beta_init = float(beta)
        self.register_coeff_buffer("beta", float(beta))

    def reset(self) -> None:
        """Set `beta` to its first value."""
        self.beta.fill_(self._beta_init)

    def _objective(
        self,
        dist: Distribution,
        tensordict: TensorDictBase,
        log_weight: Tensor,
        advantage: Tensor,
        mask: Tensor | None,
    ) -> dict[str, Tensor]:
        divergence = self._divergence(tensordict, dist)
        mean = masked_mean(divergence.detach(), mask)
        gain = log_weight.exp() * advantage - self.beta.clone() * divergence
        self._adapt(mean)
        return {"loss_objective": -self._reduce(gain, mask), "kl": mean}

    def _divergence(self, tensordict: TensorDictBase, dist: Distribution) -> Tensor:
        old = self.actor_network.build_dist_from_params(self._old_parameters(tensordict))
        try:
            return kl_divergence(old, dist)
        except NotImplementedError:  # no closed form is registered for the pair
            pass
        action, log_prob = sample_and_log_prob(old, (self.samples_mc_kl,))
        return (log_prob - dist.log_prob(action)).mean(0)

    def _old_parameters(self, tensordict: TensorDictBase) -> TensorDictBase:
        keys = self._dist_keys()
        old = inputs_of(tensordict, keys)
        for key in keys:
            if old.get(key, None) is None:
                raise MissingKeyError(
                    f"`{key}` is not in the batch: the KL penalty compares the policy with the "
                    "distribution at collection. Keep what the actor wrote."
                )
        return old

    def _dist_keys(self) -> list[NestedKey]:
        return list(self.actor_network.dist_params_keys)

    def _adapt(self, divergence: Tensor) -> None:
        with torch.no_grad():
            factor = torch.where(
                divergence > self.dtarg * 1.5,
                self.increment,
                torch.where(divergence < self.dtarg / 1.5, self.decrement, 1.0),
            )
            self.beta.mul_(factor)

    def _read_keys(self) -> list[NestedKey]:
        return [*self._dist_keys(), *super()._read_keys()]
