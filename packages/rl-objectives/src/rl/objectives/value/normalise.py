"""Standardisation of advantages and rewards."""

from __future__ import annotations

from torch import Tensor

__all__ = ["standardised"]


def standardised(
    tensor: Tensor, exclude_dims: tuple[int, ...] = (), *, min_scale: float = 1e-4
) -> Tensor:
    """Return `tensor` with mean 0 and standard deviation 1.

    Args:
        tensor: any shape.
        exclude_dims: dimensions whose elements are standardised each on its own, as agents.
        min_scale: floor of the deviation by which the result is divided.

    Example:
        >>> import torch
        >>> standardised(torch.tensor([1.0, 3.0])).tolist()
        [-0.7071067690849304, 0.7071067690849304]
    """
    if tensor.numel() < 2:  # one element has no deviation
        return tensor
    if not exclude_dims:
        return (tensor - tensor.mean()) / tensor.std().clamp_min(min_scale)
    kept = {d % tensor.ndim for d in exclude_dims}
    dims = [d for d in range(tensor.ndim) if d not in kept]
    mean, std = tensor.mean(dims, keepdim=True), tensor.std(dims, keepdim=True)
    return (tensor - mean) / std.clamp_min(min_scale)
