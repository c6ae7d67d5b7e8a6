"""Batch renormalisation (Ioffe 2017)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rl.core.errors import RLError, ShapeError

__all__ = ["BatchRenorm1d"]


class BatchRenorm1d(nn.Module):
    """Normalise features by the batch, corrected towards the running statistics.

    In training, with batch mean mu_B and standard deviation sigma_B and running mu and sigma,
    `y = ((x - mu_B) / sigma_B * r + d) * weight + bias` where `r = clip(sigma_B / sigma, 1 / max_r,
    max_r)` and `d = clip((mu_B - mu) / sigma, -max_d, max_d)` carry no gradient (Ioffe 2017,
    algorithm 1). Without clipping this is what evaluation does: `(x - mu) / sigma`. Before
    `warmup_steps` training calls r is 1 and d is 0, as in batch normalisation.

    Args:
        num_features: size of the last dimension of the input.
        momentum: share of the batch in the running statistics after a call.
        eps: added to variances.
        max_r: bound of the scale correction.
        max_d: bound of the shift correction.
        warmup_steps: training calls before the correction.
        smooth: bring the correction in linearly over the warm-up, instead of at its end.

    Inputs `[*B, num_features]`; statistics are over all dimensions but the last. The running
    statistics are buffers, the variance without bias as in `nn.BatchNorm1d`; they work in ensembles
    that are mapped with `torch.vmap`.

    Raises:
        RLError: `max_r` is below 1, or `max_d` or `warmup_steps` negative.
        ShapeError: at call, the last dimension is another, or a training batch has one row.

    Example:
        >>> norm = BatchRenorm1d(3, warmup_steps=100)
        >>> norm(torch.randn(32, 3)).mean(0).abs().max() < 1e-5
        tensor(True)
    """

    def __init__(
        self,
        num_features: int,
        *,
        momentum: float = 0.01,
        eps: float = 1e-5,
        max_r: float = 3.0,
        max_d: float = 5.0,
        warmup_steps: int = 10000,
        smooth: bool = False,
    ) -> None:
        super().__init__()
        if max_r < 1 or max_d < 0 or warmup_steps < 0:
            raise RLError(
                f"`BatchRenorm1d` was given max_r={max_r}, max_d={max_d}, "
                f"warmup_steps={warmup_steps}, expected max_r >= 1 and the others >= 0: `max_r=1, "
                "max_d=0` is batch normalisation."
            )
        self.num_features, self.momentum, self.eps = num_features, momentum, eps
        self.max_r, self.max_d = max_r, max_d
        self.warmup_steps, self.smooth = warmup_steps, smooth
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))
        self.register_buffer("num_batches_tracked", torch.tensor(0, dtype=torch.int64))

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Set the affine map to the identity and forget the statistics."""
        self.weight.fill_(1)
        self.bias.zero_()
        self.running_mean.zero_()
        self.running_var.fill_(1)
        self.num_batches_tracked.zero_()

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised features `[*B, num_features]`."""
        if x.dim() < 2 or x.shape[-1] != self.num_features:
            raise ShapeError(
                f"`BatchRenorm1d` was given shape {list(x.shape)}, expected "
                f"[*B, {self.num_features}]: pass `num_features={x.shape[-1] if x.dim() else 1}`, "
                "or add a batch dimension."
            )
        if self.training:
            normed = self._train(x)
        else:
            normed = (x - self.running_mean) / (self.running_var + self.eps).sqrt()
        return normed * self.weight + self.bias

    def _train(self, x: Tensor) -> Tensor:
        rows = x.flatten(0, -2)
        if rows.shape[0] < 2:
            raise ShapeError(
                f"`BatchRenorm1d` is in training mode and was given shape {list(x.shape)}, whose "
                "batch has one row: call `.eval()` to act, or give more rows."
            )
        var, mean = torch.var_mean(rows, 0, correction=0)
        std = (var + self.eps).sqrt()
        r, d = self._correction(mean.detach(), std.detach())
        self._track(mean.detach(), var.detach() * (len(rows) / (len(rows) - 1)))
        return (x - mean) / std * r + d

    def _correction(self, mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
        """Return r and d, as much of them as the warm-up lets through."""
        running = (self.running_var + self.eps).sqrt()
        r = (std / running).clamp(1 / self.max_r, self.max_r)
        d = ((mean - self.running_mean) / running).clamp(-self.max_d, self.max_d)
        # tensors all the way: neither `vmap` nor `compile` can branch on a counter
        steps = self.num_batches_tracked
        if self.smooth and self.warmup_steps:
            share = (steps / self.warmup_steps).clamp(max=1)
        else:
            share = steps >= self.warmup_steps
        share = share.to(r.dtype)
        return 1 + share * (r - 1), share * d

    @torch.no_grad()
    def _track(self, mean: Tensor, var: Tensor) -> None:
        for running, now in ((self.running_mean, mean), (self.running_var, var)):
            running.add_((now.to(running.dtype) - running) * self.momentum)
        self.num_batches_tracked.add_(1)

    def extra_repr(self) -> str:
        """Return the settings."""
        return (
            f"{self.num_features}, momentum={self.momentum}, eps={self.eps}, max_r={self.max_r}, "
            f"max_d={self.max_d}, warmup_steps={self.warmup_steps}, smooth={self.smooth}"
        )
