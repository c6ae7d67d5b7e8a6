"""Proximal policy optimisation with a clipped ratio."""

from __future__ import annotations

from typing import Any

import torch
from tensordict import TensorDictBase
from torch import Tensor, nn
from torch.distributions import Distribution

from rl.objectives.losses.ppo import PPOLoss
from rl.objectives.losses.reduction import masked_mean

__all__ = ["ClipPPOLoss"]


class ClipPPOLoss(PPOLoss):
    """Clipped surrogate (Schulman et al., 2017, arXiv:1707.06347, equation 7).

    Besides what `PPOLoss` returns: `clip_fraction`, the share of clipped ratios; `ESS`, the
    effective sample size as a share of the batch, 1 when every ratio is 1; `max_ratio` and
    `mean_ratio`.

    Args:
        actor_network: probabilistic actor.
        critic_network: writes `state_value`.
        clip_epsilon: the ratio is clipped to [1 - eps, 1 + eps]; a pair gives each side its own.
        clip_value: `True` clips the value by `clip_epsilon`; otherwise as in `PPOLoss`.
        **kwargs: arguments of `PPOLoss`.

    Example:
        >>> from rl.core.distributions import OneHotCategorical
        >>> from tensordict import TensorDict
        >>> from tensordict.nn import ProbabilisticTensorDictModule as Prob
        >>> from tensordict.nn import ProbabilisticTensorDictSequential as ProbSequential
        >>> from tensordict.nn import TensorDictModule
        >>> head = Prob(["logits"], ["action"], distribution_class=OneHotCategorical)
        >>> net = TensorDictModule(nn.Linear(3, 2), ["obs"], ["logits"])
        >>> loss = ClipPPOLoss(ProbSequential(net, head), clip_epsilon=0.1)
        >>> batch = {"obs": torch.randn(4, 3), "action": torch.eye(2).repeat(2, 1)}
        >>> batch |= {"action_log_prob": torch.zeros(4), "advantage": torch.ones(4, 1)}
        >>> loss(TensorDict(batch, [4]))["loss_objective"].shape
        torch.Size([])
    """

    _objective_metrics = ("clip_fraction", "ESS", "max_ratio", "mean_ratio")

    def __init__(
        self,
        actor_network: nn.Module,
        critic_network: nn.Module | None = None,
        *,
        clip_epsilon: float | tuple[float, float] = 0.2,
        clip_value: bool | float | None = None,
        device: torch.device | None = None,
        **kwargs: Any,
    ) -> None:
        is_pair = isinstance(clip_epsilon, tuple)
        if clip_value is True and is_pair:
            raise ValueError(
                "`clip_value=True` takes the value of `clip_epsilon`, which is a pair: pass a "
                "number as `clip_value`."
            )
        clip_value = clip_epsilon if clip_value is True else clip_value or None
        super().__init__(actor_network, critic_network, clip_value=clip_value, **kwargs)
        if is_pair:
            self.register_coeff_buffer("clip_epsilon_low", float(clip_epsilon[0]))
            self.register_coeff_buffer("clip_epsilon_high", float(clip_epsilon[1]))
        else:
            self.register_coeff_buffer("clip_epsilon", float(clip_epsilon))
        self._is_pair = is_pair
        if device is not None:
            self.to(device)

    def _objective(
        self,
        dist: Distribution,
        tensordict: TensorDictBase,
        log_weight: Tensor,
        advantage: Tensor,
        mask: Tensor | None,
    ) -> dict[str, Tensor]:
        low = self.clip_epsilon_low if self._is_pair else self.clip_epsilon
        high = self.clip_epsilon_high if self._is_pair else self.clip_epsilon
        ratio = log_weight.exp()
        with torch.no_grad():
            clipped, cost = ratio.clamp(1 - low, 1 + high), -advantage
            limit = clipped * cost
        # the limit is constant: a gradient flows only where the ratio is not clipped
        loss = ratio * cost
        values = {"loss_objective": self._reduce(loss.where(loss >= limit, limit), mask)}
        with torch.no_grad():
            values["clip_fraction"] = masked_mean((ratio != clipped).to(ratio.dtype), mask)
            ratio = ratio.flatten() if mask is None else ratio[mask].flatten()
            mean = ratio.mean()
            # (sum r)^2 / (n sum r^2)
            values["ESS"] = mean.square() * ratio.numel() / ratio.dot(ratio)
            values["max_ratio"], values["mean_ratio"] = ratio.max(), mean
        return values
