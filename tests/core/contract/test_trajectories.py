"""Batches cut along trajectories."""

from __future__ import annotations

import pytest
import torch
from tensordict import TensorDict

from rl.core import MissingKeyError
from rl.core.contract import split_trajectories


def test_splits_by_done_when_there_are_no_ids():
    done = torch.tensor([[False, True, False], [False, False, True]]).unsqueeze(-1)
    batch = TensorDict({"x": torch.arange(6).reshape(2, 3), "next": {"done": done}}, [2, 3])
    split = split_trajectories(batch)
    assert split["x"].tolist() == [[0, 1, 0], [2, 0, 0], [3, 4, 5]]
    assert split["mask"].tolist() == [[True, True, False], [True, False, False], [True] * 3]
    assert split.names == [None, "time"]


def test_nested_output_has_no_padding():
    ids = torch.tensor([0, 0, 1])
    batch = TensorDict({"x": torch.arange(3), "traj_ids": ids}, [3])
    nested = split_trajectories(batch, as_nested=True)
    assert nested.batch_size == torch.Size([2])
    assert [row.tolist() for row in nested["x"].unbind()] == [[0, 1], [2]]


def test_without_ids_and_flags_it_says_what_to_pass():
    with pytest.raises(MissingKeyError, match="trajectory_key="):
        split_trajectories(TensorDict({"x": torch.arange(3)}, [3]))
