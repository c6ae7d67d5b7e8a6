"""Batches cut along their trajectories."""

from __future__ import annotations

import torch
from tensordict import NestedKey, TensorDictBase, pad_sequence, unravel_key

from rl.core.contract.keys import in_next, sibling
from rl.core.errors import MissingKeyError

__all__ = ["split_trajectories"]


def split_trajectories(
    rollout_tensordict: TensorDictBase,
    *,
    prefix: str | None = None,
    trajectory_key: NestedKey | None = None,
    done_key: NestedKey | None = None,
    as_nested: bool = False,
) -> TensorDictBase:
    """Cut a batch along its trajectories.

    Args:
        rollout_tensordict: [*B, T] batch whose last dim is time.
        prefix: where the ids are and the mask goes; `"collector"` if the batch has that entry.
        trajectory_key: the ids, [*B, T] int; `(prefix, "traj_ids")` by default.
        done_key: end flags under "next", used instead of ids; `"done"` if there are no ids.
        as_nested: return nested tensors instead of padding.

    Returns:
        [num_trajectories, T_max] zero-padded TensorDict with a bool `(prefix, "mask")`, last dim
        named "time"; or, with `as_nested`, [num_trajectories, -1] jagged entries and no mask.

    Raises:
        MissingKeyError: there are neither ids nor flags.

    Example:
        >>> from tensordict import TensorDict
        >>> batch = TensorDict({"x": torch.arange(4), "traj_ids": torch.tensor([0, 0, 0, 1])}, [4])
        >>> split_trajectories(batch)["mask"].tolist()
        [[True, True, True], [True, False, False]]
    """
    if prefix is None and "collector" in rollout_tensordict.keys():  # noqa: SIM118 (a TensorDict)
        prefix = "collector"
    flat = rollout_tensordict.reshape(-1)
    lengths = _lengths(rollout_tensordict, prefix, trajectory_key, done_key)
    pieces = list(flat.split(lengths, 0))
    if as_nested:
        return _nest(pieces)
    mask_key = (
        sibling(unravel_key(trajectory_key), "mask")
        if trajectory_key is not None
        else ("mask" if prefix is None else (prefix, "mask"))
    )
    for piece in pieces:
        piece.set(mask_key, torch.ones(piece.shape, dtype=torch.bool, device=piece.device))
    padded = pad_sequence(pieces)
    padded.names = [None, "time"]
    return padded


def _nest(pieces: list[TensorDictBase]) -> TensorDictBase:
    first = pieces[0]
    result = first.empty()
    result.batch_size = torch.Size([])
    for key in first.keys(True, True):
        rows = [piece.get(key) for piece in pieces]
        result.set(key, torch.nested.nested_tensor(rows, layout=torch.jagged))
    result.batch_size = torch.Size([len(pieces)])
    return result


def _lengths(
    batch: TensorDictBase,
    prefix: str | None,
    trajectory_key: NestedKey | None,
    done_key: NestedKey | None,
) -> list[int]:
    """Return the length of each trajectory piece of the flattened batch."""
    if trajectory_key is None and done_key is None:
        trajectory_key = "traj_ids" if prefix is None else (prefix, "traj_ids")
        if batch.get(trajectory_key, None) is None:
            trajectory_key, done_key = None, "done"
    ends = torch.zeros(batch.shape, dtype=torch.bool)
    if trajectory_key is not None:
        ids = batch.get(trajectory_key)
        ends[..., :-1] = (ids[..., 1:] != ids[..., :-1]).reshape(ends[..., 1:].shape).cpu()
    else:
        done = batch.get(in_next(done_key), None)
        if done is None:
            raise MissingKeyError(
                "`split_trajectories` found neither trajectory ids nor "
                f"`{in_next(done_key)}` (keys: {sorted(map(str, batch.keys(True, True)))}): "
                "pass `trajectory_key=` or `done_key=`."
            )
        ends |= done.reshape(batch.shape).cpu()
    ends[..., -1] = True
    stops = ends.flatten().nonzero().squeeze(-1) + 1
    return torch.diff(stops, prepend=stops.new_zeros(1)).tolist()
