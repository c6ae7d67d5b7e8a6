"""Distances, and what is done with one loss per step: masks, importance weights, reduction."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from rl.core.errors import ShapeError

__all__ = ["AUTO_LOSS_MASK_KEYS", "check_reduction", "distance_loss", "masked_mean", "reduce_loss"]

AUTO_LOSS_MASK_KEYS = (("collector", "mask"), "shifted_valid")

_DISTANCES = {
    "l1": functional.l1_loss,
    "l2": functional.mse_loss,
    "smooth_l1": functional.smooth_l1_loss,
}
_REDUCTIONS = ("none", "mean", "sum")


def distance_loss(v1: Tensor, v2: Tensor, loss_function: str, strict_shape: bool = True) -> Tensor:
    """Return the element-wise distance of two tensors.

    Args:
        v1: predictions.
        v2: targets.
        loss_function: `"l1"`, `"l2"` or `"smooth_l1"`.
        strict_shape: whether the shapes must be equal.

    Raises:
        ShapeError: if the shapes differ.
        ValueError: on an unknown distance.

    Example:
        >>> import torch
        >>> distance_loss(torch.zeros(1), torch.tensor([3.0]), "l2")
        tensor([9.])
    """
    if strict_shape and v1.shape != v2.shape:
        raise ShapeError(
            f"Prediction has shape {list(v1.shape)}, target {list(v2.shape)}: they would pair "
            "unrelated steps. Give both one shape (`unsqueeze(-1)`, `squeeze(-1)`)."
        )
    distance = _DISTANCES.get(loss_function)
    if distance is None:
        raise ValueError(
            f"`{loss_function}` is no distance, expected one of {', '.join(_DISTANCES)}."
        )
    return distance(v1, v2, reduction="none")


def check_reduction(reduction: str | None) -> str:
    """Return `reduction`, `"mean"` by default.

    Raises:
        ValueError: on an unknown reduction.
    """
    reduction = "mean" if reduction is None else reduction
    if reduction not in _REDUCTIONS:
        raise ValueError(f"`reduction` is `{reduction}`, expected one of {', '.join(_REDUCTIONS)}.")
    return reduction


def reduce_loss(
    loss: Tensor, reduction: str, *, mask: Tensor | None = None, weights: Tensor | None = None
) -> Tensor:
    """Reduce a loss `[*B]`.

    Args:
        loss: one number per step.
        reduction: `"none"`, `"mean"` or `"sum"`.
        mask: bool, steps that count. Others are replaced by 0, so a NaN there is harmless.
        weights: importance weights `[*B]`; the mean divides by their sum.

    Example:
        >>> import torch
        >>> loss, mask = torch.tensor([1.0, 3.0, float("nan")]), torch.tensor([True, True, False])
        >>> reduce_loss(loss, "mean", mask=mask)
        tensor(2.)
        >>> reduce_loss(loss[:2], "mean", weights=torch.tensor([3.0, 1.0]))
        tensor(1.5000)
    """
    if mask is None and weights is None:
        if reduction == "mean":
            return loss.mean()
        return loss.sum() if reduction == "sum" else loss
    if mask is not None:
        mask = _like(mask, loss)
        loss = loss.where(mask, 0.0)
    if weights is not None:
        weights = _like(weights, loss)
        weights = weights if mask is None else weights.where(mask, 0.0)
        loss = loss * weights
    if reduction != "mean":
        return loss.sum() if reduction == "sum" else loss
    total = mask.sum() if weights is None else weights.sum()
    return loss.sum() / total


def masked_mean(metric: Tensor, mask: Tensor | None) -> Tensor:
    """Return the mean of a metric over the steps that count."""
    return reduce_loss(metric, "mean", mask=mask)


def _like(tensor: Tensor, loss: Tensor) -> Tensor:
    """Give a per-step tensor the shape of a loss: drop a trailing 1, or repeat for agents."""
    if tensor.shape == loss.shape:
        return tensor
    if tensor.ndim == loss.ndim + 1 and tensor.shape[-1] == 1:
        tensor = tensor.squeeze(-1)
    while tensor.ndim < loss.ndim:
        tensor = tensor.unsqueeze(-1)
    return tensor.expand_as(loss)
