"""What the losses of language models return."""

from __future__ import annotations

from tensordict import TensorClass
from torch import Tensor

__all__ = ["GRPOLossOutput", "LLMLossOutput"]


class LLMLossOutput(TensorClass["nocast"]):
    """Losses, differentiable, whose names begin with `loss_`, and detached metrics; None if unused.

    Attributes:
        loss_objective: the policy loss.
        clip_fraction: share of the tokens that clipping holds back.
        kl_approx: mean of log old - log new over the tokens.
        ESS: effective sample size over the number of tokens, near 1 when the data are fresh.
        entropy: mean entropy of the next token, in nats.
        loss_entropy: the entropy bonus.
        loss_kl_to_ref: the penalty for leaving the reference model.
        kl_to_ref: the divergence itself.
        loss_kl_to_inference: the penalty for leaving the policy that sampled.
        kl_to_inference: the divergence itself.

    Example:
        >>> import torch
        >>> LLMLossOutput(loss_objective=torch.ones(()), loss_entropy=torch.ones(())).total()
        tensor(2.)
    """

    loss_objective: Tensor | None = None
    clip_fraction: Tensor | None = None
    kl_approx: Tensor | None = None
    ESS: Tensor | None = None
    entropy: Tensor | None = None
    loss_entropy: Tensor | None = None
    loss_kl_to_ref: Tensor | None = None
    kl_to_ref: Tensor | None = None
    loss_kl_to_inference: Tensor | None = None
    kl_to_inference: Tensor | None = None

    def total(self) -> Tensor:
        """Return the sum of the losses, which is what to call `backward` on."""
        return sum(
            value for name, value in self.items() if name.startswith("loss_") and value is not None
        )

    def metrics(self) -> dict[str, float]:
        """Return every entry as a number, by name."""
        return {
            name: float(value.detach().mean()) for name, value in self.items() if value is not None
        }


class GRPOLossOutput(LLMLossOutput):
    """`LLMLossOutput` with what is particular to groups.

    Attributes:
        zero_advantage_fraction: share of the texts that teach nothing, since their group agrees.
        masked_fraction: share of the tokens that `kl_mask_threshold` left out.

    Example:
        >>> import torch
        >>> GRPOLossOutput(loss_objective=torch.ones(()), ESS=torch.ones(())).metrics()
        {'loss_objective': 1.0, 'ESS': 1.0}
    """

    zero_advantage_fraction: Tensor | None = None
    masked_fraction: Tensor | None = None
