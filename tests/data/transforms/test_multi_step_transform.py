from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensordict import TensorDict

from rl.core import RLError, ShapeError, SpecError
from rl.data import (
    LazyMemmapStorage,
    LazyTensorStorage,
    MultiStep,
    MultiStepTransform,
    PrioritizedSampler,
    TensorDictReplayBuffer,
)
from rl.data.testing import check_buffer

KINDS = st.lists(st.sampled_from([0, 0, 0, 1, 2]), min_size=1, max_size=30)


def buffer(n_steps=3, size=100, ndim=1, **kwargs):
    return TensorDictReplayBuffer(
        storage=LazyTensorStorage(size, ndim=ndim),
        transform=MultiStepTransform(n_steps, 0.5, **kwargs),
        batch_size=4,
    )


def pieces(data, cuts):
    """Cut data along the last dimension."""
    edges = [0, *sorted({c % (data.shape[-1] + 1) for c in cuts}), data.shape[-1]]
    return [data[..., a:b] for a, b in pairwise(edges)]


def test_by_hand(stream):
    rb = buffer()
    assert rb.extend(stream([0, 0, 0])).tolist() == [0]
    # 1 + 2 / 2 + 4 / 4
    assert rb[:]["next", "reward"].flatten().tolist() == [3]
    assert rb.extend(stream([0, 0], start=3)).tolist() == [1, 2]
    # 2 + 4 / 2 + 8 / 4, 4 + 8 / 2 + 16 / 4
    assert rb[:]["next", "reward"].flatten().tolist() == [3, 6, 12]
    assert rb[:]["next", "observation"].flatten().tolist() == [3, 4, 5]
    # the end of the trajectory completes all that waits
    assert len(rb.extend(stream([1], start=5))) == 3
    assert rb[:]["next", "reward"].flatten().tolist() == [3, 6, 12, 24, 32, 32]
    assert rb[:]["steps_to_next_obs"].flatten().tolist() == [3, 3, 3, 3, 2, 1]


@settings(deadline=None)
@given(KINDS, st.integers(1, 5), st.lists(st.integers(0, 40), max_size=5))
def test_the_cut_into_batches_does_not_matter(stream, expected, read, kinds, n, cuts):
    data = stream([k > 0 for k in kinds], [k == 1 for k in kinds])
    rb = buffer(n)
    for piece in pieces(data, cuts):
        rb.extend(piece)
    wanted = expected(data, n, 0.5, waiting=False)
    assert len(rb) == len(wanted)
    if wanted:
        assert read(rb[:]) == wanted


@settings(deadline=None)
@given(st.lists(KINDS.map(lambda k: (k * 12)[:12]), min_size=2, max_size=3), st.integers(1, 4))
def test_several_envs_with_two_dimensions(stream, expected, read, kinds, n):
    data = stream([[k > 0 for k in row] for row in kinds], [[k == 1 for k in row] for row in kinds])
    rb = buffer(n, ndim=2)
    for piece in pieces(data, [1, 2, 7]):
        rb.extend(piece)
    stored = rb[:]
    assert stored.shape == (len(kinds), 12 - n + 1)
    for env in range(len(kinds)):
        assert read(stored[env]) == expected(data[env], n, 0.5)[: 12 - n + 1]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=40))
def test_several_envs_one_after_the_other(stream, expected, read, steps):
    """Steps of three envs in any order, told apart by the ids of their trajectories."""
    time, ids, rows, whole = [0, 0, 0], [0, 1, 2], [], {}
    for env, done in steps:
        row = stream([done], start=time[env])
        row["collector", "traj_ids"] = torch.tensor([ids[env]])
        rows.append(row)
        whole.setdefault(ids[env], []).append(row)
        time[env] += 1
        ids[env] += 3 if done else 0
    data = torch.cat(rows)
    rb = buffer(2)
    for piece in pieces(data, [3, 4, 17, 30]):
        rb.extend(piece)
    stored = rb[:] if len(rb) else data[:0]
    for traj, parts in whole.items():
        of_traj = stored[stored["collector", "traj_ids"] == traj]
        wanted = expected(torch.cat(parts), 2, 0.5, waiting=False)
        assert len(of_traj) == len(wanted)
        if wanted:
            assert read(of_traj) == wanted


def test_nested_rewards(stream):
    data = stream([0, 1])
    data = data.rename_key_(("next", "reward"), ("next", "agents", "reward"))
    rb = buffer(2, reward_keys=[("agents", "reward")])
    rb.extend(data)
    assert rb[:]["next", "agents", "reward"].flatten().tolist() == [2, 2]
    assert rb[:]["next", "agents", "original_reward"].flatten().tolist() == [1, 2]
    assert data["next", "agents", "reward"].flatten().tolist() == [1, 2], "input changed"


@pytest.mark.parametrize("storage", [LazyTensorStorage, LazyMemmapStorage])
@pytest.mark.parametrize("ndim", [1, 2])
def test_a_saved_buffer_goes_on(stream, storage, ndim):
    """With what waits: the conformance kit resumes in the middle of a stream."""

    def make(generator, prefetch):
        return TensorDictReplayBuffer(
            storage=storage(24, ndim=ndim),
            sampler=PrioritizedSampler(24, 0.7, 0.5),
            transform=MultiStepTransform(3, 0.9),
            batch_size=4,
            generator=generator,
            prefetch=prefetch,
        )

    def rows(n):
        data = stream((torch.rand(2, n) < 0.2).tolist(), reward=torch.randn(2, n, 1).double())
        return data if ndim == 2 else data[0]

    check_buffer(make, rows)


def test_a_rejected_batch_leaves_what_waits(stream):
    rb = buffer()
    rb.extend(stream([0, 0, 0]))
    with pytest.raises(ShapeError, match=r"same keys at each `extend`.*|`extra`"):
        rb.extend(stream([0, 0], start=3).set("extra", torch.zeros(2)))
    small = buffer(size=3)
    small.extend(stream([0, 0, 0]))
    with pytest.raises(ShapeError, match="room for 3"):
        small.extend(stream([0] * 5, start=3))
    for b in (rb, small):
        b.extend(stream([0, 0], start=3))
        assert b[:]["next", "reward"].flatten().tolist() == [3, 6, 12]


def test_an_emptied_buffer_has_nothing_waiting(stream):
    rb = buffer()
    rb.extend(stream([0, 0]))
    rb.empty()
    rb.extend(stream([0, 0, 0], start=7))
    assert rb[:]["observation"].flatten().tolist() == [7]


def test_the_number_of_steps_may_change(stream):
    rb = buffer(3)
    rb.extend(stream([0, 0, 0]))
    rb.transform[0].n_steps = 1
    rb.extend(stream([0], start=3))
    assert rb[:]["next", "reward"].flatten().tolist() == [3, 2, 4, 8]
    rb.transform[0].n_steps = 2
    rb.extend(stream([0, 0], start=4))
    assert rb[:]["next", "reward"].flatten().tolist() == [3, 2, 4, 8, 32]
    with pytest.raises(SpecError, match="from 1 on"):
        rb.transform[0].n_steps = 0


def test_agrees_with_the_post_processing(stream):
    data = stream([[0, 1, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0]])
    rb = buffer(3, ndim=2)
    rb.extend(data)
    assert (rb[:].exclude("index") == MultiStep(0.5, 3)(data)[:, :4]).all()


def test_priorities_in_the_data_raise(stream):
    """The rows that are written are not those that the priorities belong to."""
    rb = TensorDictReplayBuffer(
        storage=LazyTensorStorage(20),
        sampler=PrioritizedSampler(20, 0.7, 0.5),
        transform=MultiStepTransform(3, 0.9),
    )
    data = stream([0, 0, 0, 0]).set("td_error", torch.ones(4))
    with pytest.raises(RLError, match="drop the entry"):
        rb.extend(data)
    assert len(rb) == 0
    assert len(rb.extend(data, update_priority=False)) == 2


def test_bad_input(stream):
    with pytest.raises(SpecError, match="from 1 on"):
        MultiStepTransform(0, 0.9)
    rb = buffer(ndim=2)
    rb.extend(stream([[0, 0, 0]] * 2))
    with pytest.raises(ShapeError, match="the same envs at each `extend`"):
        rb.extend(stream([[0, 0, 0]] * 3))
    with pytest.raises(RLError, match="write with `extend`"):
        rb.add(stream([0, 0]))
    with pytest.raises(RLError, match="write with `extend`"):
        rb[0] = stream([0, 0])
    with pytest.raises(ShapeError, match=r"`extend`, not `add`"):
        MultiStepTransform(2, 0.9).inv(TensorDict({}))
    with pytest.raises(RLError, match=r"give it to `ReplayBuffer\(transform="):
        MultiStepTransform(2, 0.9).transform_output_spec(None)


@settings(deadline=None, max_examples=20)
@given(st.integers(4, 9), st.integers(1, 4))
def test_wrap_around(stream, expected, read, size, n):
    """A small buffer keeps the newest complete transitions."""
    data = stream([t % 5 == 4 for t in range(20)])
    rb = buffer(n, size=size)
    for t in range(20):
        rb.extend(data[t : t + 1])
    wanted = expected(data, n, 0.5, waiting=False)[-size:]
    assert sorted(read(rb[:])) == sorted(wanted)
