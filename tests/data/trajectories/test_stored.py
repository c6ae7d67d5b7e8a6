import pytest
import torch
from tensordict import TensorDict

from rl.core.errors import MissingKeyError, SpecError
from rl.data import LazyTensorStorage, ListStorage, ReplayBuffer
from rl.data.trajectories.stored import stored_trajectories


def steps(*shape):
    x = torch.arange(torch.Size(shape).numel()).reshape(shape)
    return TensorDict({"x": x, "next": {"done": (x % 4 == 3).unsqueeze(-1)}}, shape)


def found(storage, key=None):
    return [piece.data["x"].tolist() for piece in stored_trajectories(storage, key)]


@pytest.mark.parametrize("make", [LazyTensorStorage, ListStorage])
def test_the_oldest_first_and_whole_across_the_end(make):
    rb = ReplayBuffer(storage=make(10))
    assert found(rb.storage) == []
    for part in steps(14).split(7):
        rb.extend(part)
    assert found(rb.storage) == [[4, 5, 6, 7], [8, 9, 10, 11], [12, 13]]
    next(iter(stored_trajectories(rb.storage))).data["x"][0] = 99
    assert found(rb.storage)[0] == [4, 5, 6, 7]


def test_env_by_env():
    rb = ReplayBuffer(storage=LazyTensorStorage(8, ndim=2))
    for part in steps(2, 6).split(3, 1):
        rb.extend(part)
    # of the rows of each env, the last four are stored
    assert found(rb.storage) == [[2, 3], [4, 5], [8, 9, 10, 11]]


def test_bad_input():
    storage = ListStorage(3)
    storage.set(range(1), ["a"])
    with pytest.raises(SpecError, match="write those"):
        list(stored_trajectories(storage))
    storage.set(range(1), [steps(1)[0]])
    with pytest.raises(MissingKeyError, match="nope"):
        list(stored_trajectories(storage, "nope"))
