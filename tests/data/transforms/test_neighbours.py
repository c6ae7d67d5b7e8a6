import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensordict import TensorDict

from rl.core import MissingKeyError, RLError
from rl.core.transform import Transform
from rl.data import (
    LazyTensorStorage,
    ListStorage,
    RoundRobinWriter,
    TensorDictReplayBuffer,
)
from rl.data.transforms.neighbours import Neighbours, buffer_of

DONE = ("next", "done")


def neighbours(rb, **kwargs):
    return Neighbours(rb.storage, rb.writer, DONE, owner="X", **kwargs)


def filled(done, size, *, ndim=1, storage=LazyTensorStorage, chunk=3):
    """Return a buffer of `[T]` or `[B, T]` flags, and the time step that each element holds."""
    done = torch.tensor(done, dtype=torch.bool)
    t = torch.arange(done.shape[-1]).expand(done.shape)
    data = TensorDict({"t": t, "next": {"done": done.unsqueeze(-1)}}, done.shape)
    rb = TensorDictReplayBuffer(storage=storage(size, ndim=ndim))
    for start in range(0, done.shape[-1], chunk):
        rb.extend(data[..., start : start + chunk])
    return rb


def slow(done, t, first, newest):
    """Return the first and last stored step of the trajectory of step t."""
    start = t
    while start > first and not done[start - 1]:
        start -= 1
    end = t
    while end < newest and not done[end]:
        end += 1
    return start, end


@settings(deadline=None)
@given(st.lists(st.integers(0, 4).map(lambda k: k == 0), min_size=1, max_size=60))
def test_against_a_slow_reference_after_wrap_around(done):
    rb = filled(done, 17)
    rows = neighbours(rb)
    elements = torch.arange(len(rb))
    times = rb.storage[:]["t"].tolist()
    first, newest = min(times), max(times)
    before, real = rows.previous(elements, 3)
    after, follows = rows.following(elements)
    for i, t in enumerate(times):
        start, end = slow(done, t, first, newest)
        assert [times[j] for j in before[i].tolist()] == [max(t - k, start) for k in (3, 2, 1)]
        assert real[i].tolist() == [t - k >= start for k in (3, 2, 1)]
        assert follows[i] == (t < end)
        if t < end:
            assert times[after[i]] == t + 1


@settings(deadline=None)
@given(st.integers(1, 25), st.integers(0, 3))
def test_rows_of_several_envs(steps, seed):
    done = torch.rand(2, steps, generator=torch.Generator().manual_seed(seed)) < 0.2
    rb = filled(done.tolist(), 16, ndim=2, chunk=2)
    rows, stored = neighbours(rb), rb.storage[:]["t"]
    times, env = stored.flatten().tolist(), torch.arange(len(rb)) % 2
    after, follows = rows.following(torch.arange(len(rb)))
    first, newest = min(times), max(times)
    for i, t in enumerate(times):
        assert follows[i] == (t < slow(done[env[i]].tolist(), t, first, newest)[1])
        if follows[i]:
            assert (times[after[i]], env[after[i]]) == (t + 1, env[i])


def test_a_flag_with_several_entries():
    done = torch.tensor([[False, False], [False, True], [False, False]])
    rb = TensorDictReplayBuffer(storage=LazyTensorStorage(9))
    rb.extend(TensorDict({"next": {"done": done}}, [3]))
    assert neighbours(rb).following(torch.arange(3))[1].tolist() == [True, False, False]


def test_ids_tell_trajectories_apart():
    rb = TensorDictReplayBuffer(storage=LazyTensorStorage(9))
    done = torch.zeros(4, 1, dtype=torch.bool)
    ids = torch.tensor([0, 0, 1, 1])
    rb.extend(TensorDict({"collector": {"traj_ids": ids}, "next": {"done": done}}, [4]))
    assert neighbours(rb).following(torch.arange(4))[1].tolist() == [True, False, True, False]
    without = Neighbours(rb.storage, rb.writer, DONE, None, owner="X")
    assert without.following(torch.arange(4))[1].tolist() == [True, True, True, False]


def test_the_past_continues_the_rows():
    """Rows 0 and 1 were overwritten by 5 and 6; what is known of them joins the front."""
    done = [False, True, False, False, False, False, False]
    rb = filled(done, 5, chunk=1)
    past = TensorDict({"t": torch.tensor([0, 1]), "next": {"done": [[False], [True]]}}, [2])
    rows = neighbours(rb, past=past)
    assert rb.storage[:]["t"].tolist() == [5, 6, 2, 3, 4]
    elements = torch.tensor([5, 6, 2, 1])
    assert rows.take("t", elements).tolist() == [0, 1, 2, 6]
    before, real = rows.previous(elements, 1)
    assert rows.take("t", before[:, 0]).tolist() == [0, 0, 2, 5]
    assert real[:, 0].tolist() == [False, True, False, True]
    assert rows.rows(torch.tensor([-2, -1, 0]), ["t"])["t"].tolist() == [0, 1, 2]


def test_bad_input():
    rb = filled([False, True], 5)
    with pytest.raises(MissingKeyError, match="`over`, which is not stored"):
        Neighbours(rb.storage, rb.writer, "over", owner="X")
    with pytest.raises(RLError, match="use `LazyTensorStorage`"):
        Neighbours(ListStorage(3), rb.writer, DONE, owner="X")
    with pytest.raises(RLError, match="use a `RoundRobinWriter`"):
        Neighbours(rb.storage, object(), DONE, owner="X")
    bare = LazyTensorStorage(3)
    bare.set(range(2), torch.zeros(2))
    with pytest.raises(RLError, match="no TensorDicts"):
        Neighbours(bare, RoundRobinWriter(), DONE, owner="X")
    with pytest.raises(RLError, match="belongs to none: give it to one"):
        buffer_of(Transform())
    assert buffer_of(rb.append_transform(Transform()).transform[0]) is rb
