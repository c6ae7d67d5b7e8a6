"""Ids of trajectories while a batch is collected."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["TrajectoryIds"]


class TrajectoryIds:
    """Numbers trajectories in the order in which they start, one counter for all envs.

    Args:
        batch_size: the env's batch dims, [*B].

    Example:
        >>> ids = TrajectoryIds([2])
        >>> ids.label(torch.tensor([[False, True, False], [False, False, False]]))
        tensor([[0, 0, 2],
                [1, 1, 1]])
    """

    def __init__(self, batch_size: torch.Size | list[int]) -> None:
        self.batch_size = torch.Size(batch_size)
        self.started = 0
        self.start_all()

    def start_all(self) -> None:
        """Start a trajectory in every env."""
        count = max(1, self.batch_size.numel())
        self.current = torch.arange(self.started, self.started + count).reshape(self.batch_size)
        self.started += count

    def label(self, over: Tensor) -> Tensor:
        """Return the id of each step of a batch, and go on from its end.

        Args:
            over: [*B, T] bool, whether the step ends its trajectory.
        """
        over = over.movedim(-1, 0)
        ended = over.flatten().cumsum(0).reshape(over.shape)
        fresh = torch.where(over, self.started - 1 + ended, -1)
        # ids grow with time: the latest one that was given out is the highest so far
        ids = torch.cat([self.current.unsqueeze(0), fresh]).cummax(0).values
        self.current = ids[-1]
        self.started += int(over.sum())
        return ids[:-1].movedim(0, -1)

    def state_dict(self) -> dict[str, Tensor | int]:
        """Return the ids."""
        return {"current": self.current, "started": self.started}

    def load_state_dict(self, state_dict: dict[str, Tensor | int]) -> None:
        """Restore the ids."""
        self.current = torch.as_tensor(state_dict["current"])
        self.started = int(state_dict["started"])
