"""The temperature of maximum-entropy losses (Haarnoja et al., 2018, arXiv:1812.05905)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from tensordict import NestedKey, TensorDictBase
from torch import Tensor, nn

from rl.objectives.losses.base import LossModule

__all__ = ["TemperatureSettings", "TemperedLoss", "continuous_target_entropy"]


@dataclass(frozen=True)
class TemperatureSettings:
    """How a temperature starts, where it may go, and the entropy it aims at (nats)."""

    alpha_init: float = 1.0
    min_alpha: float | None = None
    max_alpha: float | None = None
    fixed_alpha: bool = False
    target_entropy: float = 0.0


class TemperedLoss(LossModule):
    """A loss with a learned weight `alpha` of the entropy: its parameter is `log_alpha`."""

    skip_done_states = False

    def _set_temperature(self, settings: TemperatureSettings) -> None:
        low, high = settings.min_alpha, settings.max_alpha
        if settings.alpha_init <= 0:
            raise ValueError(
                f"`alpha_init` is {settings.alpha_init}, expected a positive number: alpha is "
                "learned through its logarithm."
            )
        if low is not None and high is not None and low > high:
            raise ValueError(f"`min_alpha` is {low}, above `max_alpha`, {high}: exchange them.")
        self._log_bounds = (
            None if low is None else math.log(low),
            None if high is None else math.log(high),
        )
        log_alpha = torch.tensor(math.log(settings.alpha_init))
        if settings.fixed_alpha:
            self.register_buffer("log_alpha", log_alpha)
        else:
            self.register_parameter("log_alpha", nn.Parameter(log_alpha))
        self.fixed_alpha = settings.fixed_alpha
        self.register_coeff_buffer("target_entropy", float(settings.target_entropy))

    @property
    def alpha(self) -> Tensor:
        """The temperature, within its bounds and without graph."""
        log_alpha = self.log_alpha.detach()
        if self._log_bounds != (None, None):
            log_alpha = log_alpha.clamp(*self._log_bounds)
        return log_alpha.exp()

    def _next_value(self, tensordict: TensorDictBase, alpha: Tensor) -> Tensor:
        """Return the soft value `[*B, 1]` of the next states."""
        following = tensordict.get("next")
        if not self.skip_done_states:
            return self._soft_value(following, alpha).unsqueeze(-1)
        alive = ~following.get(self._tensor_keys.done).squeeze(-1)
        value = self._soft_value(following[alive], alpha)
        return value.new_zeros(alive.shape).masked_scatter(alive, value).unsqueeze(-1)

    def _soft_value(self, following: TensorDictBase, alpha: Tensor) -> Tensor:
        """Return the soft value `[*B]` of the states of `following`."""
        raise NotImplementedError

    def _alpha_loss(self, log_prob: Tensor, mask: Tensor | None, weights: Tensor | None) -> Tensor:
        """Return the loss that raises alpha while the entropy is below its target."""
        if self.fixed_alpha:
            return self._reduce(torch.zeros_like(log_prob), mask, weights)
        gap = log_prob.detach() + self.target_entropy
        return self._reduce(-self.log_alpha * gap, mask, weights)


def continuous_target_entropy(
    target_entropy: float | str,
    action_spec: Any,  # noqa: ANN401
    network: nn.Module,
    action_key: NestedKey,
    *,
    is_needed: bool = True,
) -> float:
    """Return the target entropy; `"auto"` is minus the number of action components.

    Args:
        target_entropy: nats, or `"auto"`.
        action_spec: spec of one action, without env dimensions; a composite may have some.
        network: the actor, whose `spec` is read when `action_spec` is `None`.
        action_key: the action in a composite spec.
        is_needed: whether an unknown spec is an error.

    Raises:
        ValueError: when `"auto"` has no spec to count.
    """
    if target_entropy != "auto":
        return float(target_entropy)
    spec = getattr(network, "spec", None) if action_spec is None else action_spec
    if spec is not None and hasattr(spec, "keys"):
        batch = len(spec.shape)
        spec = spec[action_key] if action_key in spec.keys(True) else None
        shape = None if spec is None else spec.shape[batch:]
    else:
        shape = None if spec is None else spec.shape
    if shape is not None:
        return -float(math.prod(shape))
    if not is_needed:
        return 0.0
    raise ValueError(
        '`target_entropy="auto"` counts the components of the action, and neither `action_spec` '
        "nor the actor's `spec` is known: pass `action_spec=env.action_spec` or a number."
    )
