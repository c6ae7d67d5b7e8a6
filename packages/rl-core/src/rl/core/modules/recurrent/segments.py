"""Sequences cut where trajectories start, in the two forms that kernels take without padding."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

__all__ = ["Packing", "Piece", "Segments", "cut", "pack", "pieces"]

# places are those of steps in sequences of T steps laid end to end, [B T]


class Segments(NamedTuple):
    """The S segments of B sequences."""

    #: [S], place of the first step
    first: Tensor
    #: [S], number of steps
    lengths: Tensor

    @property
    def last(self) -> Tensor:
        """[S], place of the last step."""
        return self.first + self.lengths - 1


def cut(starts: Tensor) -> Segments:
    """Return the segments of sequences that start anew where `starts` is true.

    Args:
        starts: [B, T] bool; the first step of each row is one in any case.

    Example:
        >>> segments = cut(torch.tensor([[True, False, True], [False, False, False]]))
        >>> segments.first.tolist(), segments.lengths.tolist()
        ([0, 2, 3], [2, 1, 3])
    """
    flags = starts.clone()
    flags[:, 0] = True
    first = flags.flatten().nonzero().squeeze(-1)
    return Segments(first, torch.diff(first, append=first.new_tensor([starts.numel()])))


class Piece(NamedTuple):
    """Parts of R segments that have the same length, P."""

    #: [R], which segments
    rows: Tensor
    #: [P, R], places of the steps
    steps: Tensor


def pieces(segments: Segments) -> Iterator[Piece]:
    """Yield the segments in pieces, about as many as the longest length has binary digits.

    A piece is half as long as what the longest segment has left, and every segment that has that
    much left goes through it, with its state passed from one piece to the next. So no step is
    computed twice, none is padding, the pieces are together as long as the longest segment, and
    the state at the end of every segment is known.

    Example:
        >>> [piece.steps.tolist() for piece in pieces(Segments(*torch.tensor([[0, 2], [2, 3]])))]
        [[[0, 2], [1, 3]], [[4]]]
    """
    device = segments.first.device
    # dozens of operations on a few numbers each: numpy has less to do around them
    first, left = (value.cpu().numpy().copy() for value in segments)
    longest = int(left.max())
    while longest:
        length = -(-longest // 2)
        longest -= length
        rows = np.flatnonzero(left >= length)
        steps = np.arange(length)[:, None] + first[rows]
        first[rows] += length
        left[rows] -= length
        yield Piece(torch.from_numpy(rows).to(device), torch.from_numpy(steps).to(device))


class Packing(NamedTuple):
    """Where each step goes in a packed batch.

    A packed batch holds, step by step, the rows of the segments that are still running, longest
    segment first.
    """

    #: [S], segments in the order of their rows
    order: Tensor
    #: [B T], row in the packed batch of each place
    row: Tensor
    #: [B T], place of each row
    source: Tensor
    #: [L] int64 on the CPU, segments that have more than 0, 1, ... steps
    running: Tensor

    def pack(self, x: Tensor) -> PackedSequence:
        """Return the packed batch of [B T, F] steps."""
        return PackedSequence(x.index_select(0, self.source), self.running)

    def unpack(self, rows: Tensor) -> Tensor:
        """Return the [B T, F] steps of the rows of a packed batch."""
        return rows.index_select(0, self.row)


def pack(segments: Segments) -> Packing:
    """Return the packing of segments.

    Example:
        >>> packing = pack(Segments(*torch.tensor([[0, 2, 3], [2, 1, 3]])))
        >>> packing.order.tolist(), packing.running.tolist()
        ([2, 0, 1], [3, 2, 1])
    """
    first, lengths = segments
    order = lengths.argsort(descending=True, stable=True)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=order.device)
    # segments with more than t steps: all but those with at most t
    running = len(lengths) - lengths.bincount().cumsum(0)[:-1]
    offset = torch.cat([running.new_zeros(1), running.cumsum(0)[:-1]])
    segment = torch.arange(len(first), device=first.device).repeat_interleave(lengths)
    place = torch.arange(len(segment), device=first.device)
    row = offset[place - first[segment]] + rank[segment]
    source = torch.empty_like(row)
    source[row] = place
    return Packing(order, row, source, running.cpu())
