"""The starts, stops and lengths of all trajectories in rows as a storage holds them."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["find_start_stop_traj"]


def find_start_stop_traj(
    *,
    trajectory: Tensor | None = None,
    end: Tensor | None = None,
    at_capacity: bool,
    cursor: int | Tensor | range | None = None,
    device: torch.device | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Find trajectories from ids or end flags; time is the first dimension.

    Args:
        trajectory: [T, *B] ids; a trajectory ends where they change.
        end: [T, *B] bool, true at last steps.
        at_capacity: whether row 0 comes after row T - 1, as in a full buffer; otherwise the last
            row ends a trajectory.
        cursor: of a full buffer, the row that was written last, or the rows, in order: a trajectory
            ends there, for what comes after it is older.
        device: where to compute; where the input is by default.

    Returns:
        First and last steps, both [N, 1 + len(B)] int64 (time, then the place in B), and lengths
        [N], in the order of B and then of the last steps. A trajectory that goes on from row T - 1
        at row 0 has a first step after its last.

    Raises:
        TypeError: not exactly one of `trajectory` and `end` is given.
        IndexError: the cursor is not a row.

    Example:
        >>> end = torch.tensor([False, True, False, False])
        >>> [x.tolist() for x in find_start_stop_traj(end=end, at_capacity=False)]
        [[[0], [2]], [[1], [3]], [2, 2]]
        >>> [x.tolist() for x in find_start_stop_traj(end=end, at_capacity=True)]
        [[[2]], [[1]], [4]]
    """
    if (trajectory is None) == (end is None):
        raise TypeError("Pass `trajectory` or `end`, one of the two.")
    given = end if trajectory is None else trajectory
    source = given.device
    given = given.to(device) if device is not None else given
    rows = len(given)
    ends = given.bool().clone() if trajectory is None else given != given.roll(-1, 0)
    if not at_capacity:
        ends[-1] = True
    elif cursor is not None:
        ends[_newest(cursor, rows)] = True
    ends[-1] |= ~ends.any(0)  # a ring without an end is one trajectory, from row 0 on
    stop = ends.movedim(0, -1).nonzero().roll(1, -1)  # time first
    last, place = stop[:, 0], stop[:, 1:]
    # the trajectory before is the one above, or the last of the same column
    first_of_column = torch.ones_like(last, dtype=torch.bool)
    first_of_column[1:] = (place[1:] != place[:-1]).any(-1)
    column = first_of_column.cumsum(0) - 1
    bottom = torch.cat([first_of_column[1:], first_of_column.new_ones(1)]).nonzero()[:, 0]
    before = torch.where(first_of_column, last[bottom][column], last.roll(1))
    start = torch.cat([((before + 1) % rows).unsqueeze(-1), place], -1)
    length = (last - before - 1) % rows + 1
    return start.to(source), stop.to(source), length.to(source)


def _newest(cursor: int | Tensor | range, rows: int) -> int:
    if isinstance(cursor, Tensor):
        cursor = int(cursor.reshape(-1)[-1])
    elif isinstance(cursor, range):
        cursor = cursor[-1]
    if not -rows <= cursor < rows:
        raise IndexError(f"`cursor` is {cursor}, expected one of the {rows} rows.")
    return cursor
