"""Chunks of the actions that follow each step, the targets of chunked policies."""

from __future__ import annotations

import torch
from tensordict import TensorDictBase

from rl.core.contract.keys import NestedKey, in_next
from rl.core.errors import RLError, ShapeError, SpecError
from rl.core.specs import Composite
from rl.core.transform import Transform
from rl.data.transforms.trajectories import last_steps

__all__ = ["ActionChunkTransform"]


class ActionChunkTransform(Transform):
    """Gather the next `chunk_size` actions of each step (Zhao et al., 2023, section IV-A).

    Chunks never go beyond the end of a trajectory or of the row: the last action is repeated, and
    marked as padding. What is stored stays as it is; chunks are made on sampling.

    Args:
        chunk_size: H, the number of actions.
        action_key: the actions.
        chunk_key: where chunks go.
        pad_key: where the mask of padding goes.
        time_dim: the dimension of time in the actions, negative; that of the action follows it.
        done_key: the flag below `"next"` that ends a trajectory, used where the data have it;
            None ignores it.

    Reads:
        action: `[*B, T, A]`.
        ("next", "done"): `[*B, T, 1]` or `[*B, T]` bool, optional.
    Writes:
        ("vla_action", "chunk"): `[*B, T, H, A]`.
        action_is_pad: `[*B, T, H]` bool.

    Raises:
        SpecError: `chunk_size` is not positive, or `time_dim` not negative.

    Example:
        >>> from tensordict import TensorDict
        >>> data = TensorDict({"action": torch.arange(3).view(3, 1)}, [3])
        >>> data = ActionChunkTransform(2)(data)
        >>> data["vla_action", "chunk"].squeeze(-1).tolist(), data["action_is_pad"][-1].tolist()
        ([[0, 1], [1, 2], [2, 2]], [False, True])
    """

    def __init__(
        self,
        chunk_size: int,
        *,
        action_key: NestedKey = "action",
        chunk_key: NestedKey = ("vla_action", "chunk"),
        pad_key: NestedKey = "action_is_pad",
        time_dim: int = -2,
        done_key: NestedKey | None = "done",
    ) -> None:
        if chunk_size < 1:
            raise SpecError(f"`chunk_size` is {chunk_size}, expected at least 1 action.")
        if time_dim >= 0:
            raise SpecError(f"`time_dim` is {time_dim}: count it from the end (negative).")
        super().__init__(in_keys=[action_key], out_keys=[chunk_key])
        self.chunk_size = chunk_size
        self.pad_key = pad_key
        self.time_dim = time_dim
        self.done_key = done_key

    def _call(self, tensordict: TensorDictBase) -> TensorDictBase:
        action = tensordict.get(self.in_keys[0])
        if action.ndim < -self.time_dim:
            raise ShapeError(
                f"`{self.in_keys[0]}` has shape {list(action.shape)}, expected `[*B, T, A]`: "
                "sample slices of trajectories, one row per slice."
            )
        dim = action.ndim + self.time_dim
        length, shape = action.shape[dim], action.shape[: dim + 1]
        ends = torch.zeros(shape, dtype=torch.bool, device=action.device)
        done = None
        if self.done_key is not None:
            done = tensordict.get(in_next(self.done_key), None)
        if done is not None:
            ends = done.reshape(*shape, -1).any(-1)
        ends = ends.clone()
        ends[..., -1] = True
        last = last_steps(ends, dim).unsqueeze(-1)
        wanted = torch.arange(length, device=action.device).unsqueeze(-1)
        wanted = wanted + torch.arange(self.chunk_size, device=action.device)
        index = torch.minimum(wanted, last)
        wide = index.reshape(*index.shape, *[1] * (action.ndim - dim - 1))
        wide = wide.expand(*index.shape, *action.shape[dim + 1 :])
        source = action.unsqueeze(dim + 1).expand_as(wide)
        tensordict.set(self.out_keys[0], source.gather(dim, wide))
        return tensordict.set(self.pad_key, (wanted > last))

    def transform_output_spec(self, output_spec: Composite) -> Composite:
        """Refuse to work in an env.

        Raises:
            RLError: always.
        """
        raise RLError(
            "`ActionChunkTransform` looks ahead and works on stored trajectories: give it to "
            "`ReplayBuffer(transform=...)`."
        )
