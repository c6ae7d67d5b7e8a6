"""Trajectory ids."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from rl.envs.collectors import TrajectoryIds


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
