"""Trajectory ids, and batches cut along them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tensordict import TensorDict

from rl.core import MissingKeyError
from rl.envs.collectors import TrajectoryIds, split_trajectories


def slow_ids(over: list[list[list[bool]]]) -> list[list[list[int]]]:
    """Number the trajectories of successive [B][T] batches one step at a time."""
    current = list(range(len(over[0])))
    started = len(current)
    batches = []
    for batch in over:
        ids = [[] for _ in current]
        for step in range(len(batch[0])):
            for env in range(len(current)):
                ids[env].append(current[env])
            for env in range(len(current)):
                if batch[env][step]:
                    current[env], started = started, started + 1
        batches.append(ids)
    return batches


@given(st.integers(1, 3), st.integers(1, 5), st.integers(1, 3), st.randoms(use_true_random=False))
def test_labels_are_those_of_the_obvious_loop(envs, steps, batches, random):
    over = [
        [[random.random() < 0.3 for _ in range(steps)] for _ in range(envs)] for _ in range(batches)
    ]
    ids = TrajectoryIds([envs])
    assert [ids.label(torch.tensor(batch)).tolist() for batch in over] == slow_ids(over)


def test_state_round_trip():
    ids = TrajectoryIds([2])
    ids.label(torch.tensor([[True], [False]]))
    other = TrajectoryIds([2])
    other.load_state_dict(ids.state_dict())
    over = torch.tensor([[False, True], [True, False]])
    assert torch.equal(ids.label(over), other.label(over))


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
