"""Which elements the priorities of a batch are for."""

from __future__ import annotations

import torch
from tensordict import TensorDictBase
from torch import Tensor

__all__ = ["row_priorities"]


def row_priorities(data: TensorDictBase, index: Tensor, priority: Tensor) -> tuple[Tensor, Tensor]:
    """Return index and priorities of a batch as `[n, ...]`, one entry per element.

    A batch of any number of dimensions is taken row by row. Where a `Sequence` made it, the largest
    priority among the valid rows of a window is that of its anchor; the other rows have none.

    Args:
        data: [*B] the batch.
        index: [*B] element numbers, or [*B, ndim] coordinates.
        priority: [*B, ...].

    Example:
        >>> from tensordict import TensorDict
        >>> index, priority = torch.tensor([[4, 5]]), torch.tensor([[[1.0], [2.0]]])
        >>> row_priorities(TensorDict(batch_size=[1, 2]), index, priority)
        (tensor([4, 5]), tensor([[1.],
                [2.]]))
    """
    if data.ndim > 1:
        index, priority = index.flatten(0, data.ndim - 1), priority.flatten(0, data.ndim - 1)
    anchor, window = (data.get(key, None) for key in ("anchor_index", "sequence_id"))
    if anchor is None or window is None:
        return index, priority
    if data.ndim > 1:
        anchor, window = anchor.flatten(0, data.ndim - 1), window.flatten()
    valid = data["validity_mask"].flatten()
    anchor, window, priority = anchor[valid], window[valid], priority[valid]
    numbers, place = window.unique(return_inverse=True)
    best = priority.new_full((len(numbers), *priority.shape[1:]), -float("inf"))
    places = place.reshape(-1, *[1] * (priority.ndim - 1)).expand_as(priority)
    best.scatter_reduce_(0, places, priority, "amax")
    one_of = torch.zeros_like(numbers).index_copy_(0, place, torch.arange(len(place)))
    return anchor[one_of], best
