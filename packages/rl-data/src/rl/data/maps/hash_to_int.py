"""From hashes to the numbers 0, 1, 2, ... of rows in a storage."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["HashToInt"]

#: the number of a hash that is not known
UNKNOWN = -1


class HashToInt(nn.Module):
    """Numbers hashes in the order in which they are first seen.

    Example:
        >>> to_int = HashToInt()
        >>> to_int(torch.tensor([700, 5, 700]))
        tensor([0, 1, 0])
        >>> to_int(torch.tensor([5, 8]), extend=False)
        tensor([ 1, -1])
    """

    def __init__(self) -> None:
        super().__init__()
        self._numbers: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._numbers)

    def forward(self, hashes: Tensor, *, extend: bool = True) -> Tensor:
        """Return the number of each hash.

        Args:
            hashes: `[*B]` int64.
            extend: whether new hashes get a number; without, theirs is -1.

        Returns:
            `[*B]` int64.
        """
        numbers, flat = self._numbers, hashes.reshape(-1).tolist()
        if extend:
            found = [numbers.setdefault(value, len(numbers)) for value in flat]
        else:
            found = [numbers.get(value, UNKNOWN) for value in flat]
        return torch.tensor(found, dtype=torch.int64, device=hashes.device).reshape(hashes.shape)

    def clear(self) -> None:
        """Forget every hash."""
        self._numbers = {}

    def get_extra_state(self) -> Tensor:
        """Return the hashes in the order of their numbers, `[n]` int64."""
        return torch.tensor(list(self._numbers), dtype=torch.int64)

    def set_extra_state(self, state: Tensor) -> None:
        """Take what `get_extra_state` returned."""
        self._numbers = {value: number for number, value in enumerate(state.tolist())}
