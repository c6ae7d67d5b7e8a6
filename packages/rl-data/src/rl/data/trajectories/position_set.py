"""A set of positions that counts its members: ranks and neighbours without a scan."""

from __future__ import annotations

import numpy as np
import torch

__all__ = ["PositionSet"]

_SHIFT = 6
_FANOUT = 1 << _SHIFT
_TOP = 4096
_OFFSETS = np.arange(_FANOUT)


class PositionSet:
    """A set of numbers in `[0, size)`.

    One byte per number says whether it is a member; counts over blocks of 64, of 64 blocks and so
    on find the member of a given rank, and the rank of a number, by looking at one block per
    level. Changing members costs the same, whatever the size.

    Args:
        size: number of positions.

    Example:
        >>> members = PositionSet(100)
        >>> members.update(np.array([3, 40, 99]), True).tolist()
        [3, 40, 99]
        >>> members.select(np.array([0, 2])).tolist(), members.rank(np.array([40, 41])).tolist()
        ([3, 99], [1, 2])
    """

    def __init__(self, size: int) -> None:
        self.size = size
        width = -(-size // _FANOUT) * _FANOUT
        self._flags = np.zeros(width, np.uint8)
        # from the finest to the coarsest; all but the last are filled up to whole blocks
        self._counts: list[np.ndarray] = []
        while True:
            width //= _FANOUT
            top = width <= _TOP
            width = width if top else -(-width // _FANOUT) * _FANOUT
            self._counts.append(np.zeros(width, np.int64 if top else self._smallest_dtype()))
            if top:
                break
        self._running: np.ndarray | None = None

    def _smallest_dtype(self) -> type[np.integer]:
        """Return the dtype of the next level: a block of 64 has at most 64 members, and so on."""
        return {0: np.uint8, 1: np.uint16}.get(len(self._counts), np.int64)

    def __len__(self) -> int:
        return int(self._prefix()[-1])

    def has(self, position: np.ndarray) -> np.ndarray:
        """Return whether each position is a member."""
        return self._flags.take(position) != 0

    def members(self) -> np.ndarray:
        """Return all members in order; costs the size of the set."""
        return self._flags.nonzero()[0]

    # --------------------------------------------------------------- changing

    def update(self, position: np.ndarray, member: np.ndarray | bool) -> np.ndarray:
        """Put distinct positions into the set or take them out.

        Args:
            position: [k] int64, without repetition.
            member: [k] bool, or one for all.

        Returns:
            The positions that were changed.
        """
        wanted = np.broadcast_to(np.asarray(member, np.uint8), position.shape)
        changed = self._flags.take(position) != wanted
        if not changed.any():
            return position[:0]
        position, wanted = position[changed], wanted[changed]
        self._flags[position] = wanted
        delta = wanted.astype(np.int64) * 2 - 1
        block = position
        for counts in self._counts:
            block = block >> _SHIFT
            # a negative number wraps around, and so does the sum
            np.add.at(counts, block, delta.astype(counts.dtype))
        self._running = None
        return position

    def assign(self, flags: np.ndarray) -> None:
        """Make the positions whose flag is set the members.

        Args:
            flags: [size] bool.
        """
        self._flags[: self.size] = flags
        below = self._flags
        for counts in self._counts:
            blocks = below.reshape(-1, _FANOUT)
            counts[: len(blocks)] = blocks.sum(1, dtype=counts.dtype)
            below = counts
        self._running = None

    def clear(self) -> None:
        """Take every member out."""
        self._flags.fill(0)
        for counts in self._counts:
            counts.fill(0)
        self._running = None

    # ---------------------------------------------------------------- looking

    def select(self, rank: np.ndarray) -> np.ndarray:
        """Return the members of the given ranks, each in `[0, len(self))`."""
        if rank.size * _FANOUT > self.size:
            return self.members().take(rank)
        running = self._prefix()
        node = running.searchsorted(rank, "right")
        rest = rank - (running.take(node) - self._counts[-1].take(node))
        line = np.arange(rank.size)
        for level in (*reversed(self._counts[:-1]), self._flags):
            block = level.reshape(-1, _FANOUT).take(node, 0)
            # torch scans short rows three times as fast as numpy
            prefix = torch.from_numpy(block).cumsum(1, dtype=torch.int64).numpy()
            child = (prefix > rest[:, None]).argmax(1)
            if level is not self._flags:
                rest = rest - (prefix[line, child] - block[line, child])
            node = node * _FANOUT + child
        return node

    def rank(self, position: np.ndarray) -> np.ndarray:
        """Return how many members are below each position, which is in `[0, size]`."""
        if position.size * _FANOUT > self.size:
            below = np.zeros(self.size + 1, np.int64)
            self._flags[: self.size].cumsum(dtype=np.int64, out=below[1:])
            return below.take(position)
        running = self._prefix()
        block = position
        found = np.zeros(position.shape, np.int64)
        for level in (self._flags, *self._counts[:-1]):
            offset = block & (_FANOUT - 1)
            block = block >> _SHIFT
            blocks = level.reshape(-1, _FANOUT)
            inside = blocks.take(np.minimum(block, len(blocks) - 1), 0)
            before = offset[:, None] > _OFFSETS
            found += (inside * before).sum(1, dtype=np.int64)
        found += np.where(block > 0, running.take(block - 1, mode="clip"), 0)
        return found

    def _prefix(self) -> np.ndarray:
        if self._running is None:
            self._running = self._counts[-1].cumsum()
        return self._running
