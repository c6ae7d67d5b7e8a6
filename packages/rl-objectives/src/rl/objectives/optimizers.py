"""Several optimizers as one."""

from __future__ import annotations

import torch

__all__ = ["group_optimizers"]


def group_optimizers(*optimizers: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """Return one optimizer with the parameter groups and states of several.

    Args:
        *optimizers: optimizers of one class, over different parameters.

    Raises:
        ValueError: without optimizers, with different classes, or when two share a parameter.

    Example:
        >>> one, two = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
        >>> grouped = group_optimizers(
        ...     torch.optim.Adam(one.parameters(), lr=0.1),
        ...     torch.optim.Adam(two.parameters(), lr=0.2),
        ... )
        >>> [group["lr"] for group in grouped.param_groups]
        [0.1, 0.2]
    """
    if not optimizers:
        raise ValueError("`group_optimizers` got no optimizer: pass at least one.")
    kinds = {type(optimizer).__name__ for optimizer in optimizers}
    if len(kinds) > 1:
        raise ValueError(
            f"Only optimizers of one class can be grouped, got {', '.join(sorted(kinds))}: step "
            "them separately."
        )
    groups = [dict(group) for optimizer in optimizers for group in optimizer.param_groups]
    first = optimizers[0]
    # torch checks here that no parameter is in two groups
    grouped = type(first)(groups, **first.defaults)
    for optimizer in optimizers:
        grouped.state.update(optimizer.state)
    return grouped
