import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensordict import TensorDict

from rl.core.errors import MissingKeyError
from rl.data import (
    LazyTensorStorage,
    PrioritizedSampler,
    Sequence,
    TensorDictReplayBuffer,
)
from rl.data.testing import check_buffer


def rows(ends):
    done = torch.tensor(ends, dtype=torch.bool).unsqueeze(-1)
    return TensorDict({"x": torch.arange(len(ends)), "next": {"done": done}}, [len(ends)])


def expand(unit, anchors, ends=(4, 9), n=10, capacity=10):
    """Return rows, validity and learning masks, one list per window."""
    rb = TensorDictReplayBuffer(storage=LazyTensorStorage(capacity))
    data = rows([i in ends for i in range(n)])
    for part in data.split(5):
        rb.extend(part)
    index, info = unit.expand(torch.tensor(anchors), {}, rb.storage)
    parts = (index, info["validity_mask"].int(), info["learning_mask"].int())
    return [part.reshape(len(anchors), -1).tolist() for part in parts]


# the numbers are those of TorchRL 0.14.1
@pytest.mark.parametrize(
    ("kwargs", "index", "valid"),
    [
        ({"length": 3}, [[3, 4, 4], [6, 7, 8]], [[1, 1, 0], [1, 1, 1]]),
        ({"length": 3, "episode_boundary": "stop"}, [[2, 3, 4], [6, 7, 8]], [[1] * 3] * 2),
        ({"length": 3, "episode_boundary": "include_reset"}, [[3, 4, 5], [6, 7, 8]], [[1] * 3] * 2),
        (
            {"length": 2, "burn_in": 2, "bootstrap": 1},
            [[1, 2, 3, 4, 4], [5, 5, 6, 7, 8]],
            [[1, 1, 1, 1, 0], [0, 1, 1, 1, 1]],
        ),
        ({"length": 3, "dilation": 2}, [[3, 4, 4], [6, 8, 9]], [[1, 0, 0], [1, 1, 0]]),
        (
            {"length": 3, "dilation": 2, "episode_boundary": "stop"},
            [[0, 2, 4], [5, 7, 9]],
            [[1] * 3] * 2,
        ),
        (
            {"length": 2, "burn_in": 2, "dilation": 2, "episode_boundary": "stop"},
            [[0, 0, 2, 4], [5, 5, 6, 8]],
            [[0, 1, 1, 1], [0, 0, 1, 1]],
        ),
        (
            {"length": 6, "episode_boundary": "stop"},
            [[0, 1, 2, 3, 4, 4], [5, 6, 7, 8, 9, 9]],
            [[1, 1, 1, 1, 1, 0]] * 2,
        ),
    ],
)
def test_windows(kwargs, index, valid):
    found = expand(Sequence(**kwargs), [3, 6])
    assert found[0] == index
    assert found[1] == valid


@pytest.mark.parametrize(
    ("kwargs", "index"),
    [
        ({"length": 3}, [[0, 1, 1], [3, 4, 4], [5, 6, 7], [9, 0, 1]]),
        ({"length": 3, "episode_boundary": "stop"}, [[9, 0, 1], [2, 3, 4], [5, 6, 7], [9, 0, 1]]),
        (
            {"length": 3, "episode_boundary": "include_reset"},
            [[0, 1, 2], [3, 4, 4], [5, 6, 7], [9, 0, 1]],
        ),
        (
            {"length": 3, "done_key": None, "burn_in": 2},
            [[8, 9, 0, 1, 2], [1, 2, 3, 4, 4], [5, 5, 5, 6, 7], [7, 8, 9, 0, 1]],
        ),
    ],
)
def test_the_newest_row_is_a_bound(kwargs, index):
    """Rows 0 .. 4 are the newest, 5 .. 9 the oldest; row 1 ends a trajectory."""
    assert expand(Sequence(**kwargs), [0, 3, 5, 9], ends=(11,), n=15)[0] == index


def test_masks():
    assert expand(Sequence(2, burn_in=1, bootstrap=1), [3])[2] == [[0, 1, 1, 0]]


@settings(max_examples=80, deadline=None)
@given(
    data=st.data(),
    capacity=st.integers(1, 8),
    envs=st.sampled_from([1, 2]),
    length=st.integers(1, 4),
    burn_in=st.integers(0, 3),
    bootstrap=st.integers(0, 2),
    dilation=st.integers(1, 2),
    policy=st.sampled_from(["pad", "stop", "include_reset"]),
)
def test_against_walking(data, capacity, envs, length, burn_in, bootstrap, dilation, policy):
    n = data.draw(st.integers(1, 2 * capacity))
    flags = st.lists(st.booleans(), min_size=n, max_size=n)
    ends = torch.tensor(data.draw(st.lists(flags, min_size=envs, max_size=envs)))
    time = torch.arange(n).expand(envs, n)
    td = TensorDict({"time": time, "next": {"done": ends.unsqueeze(-1)}}, [envs, n])
    ndim = {"ndim": 2} if envs > 1 else {}
    rb = TensorDictReplayBuffer(storage=LazyTensorStorage(capacity * envs, **ndim))
    for part in td.split(capacity, 1):
        rb.extend(part if envs > 1 else part[0])
    unit = Sequence(length, policy, burn_in=burn_in, bootstrap=bootstrap, dilation=dilation)
    anchors = rb.storage.unravel(torch.arange(len(rb.storage)))
    index, info = unit.expand(anchors, {}, rb.storage)
    found = rb.storage.get(index)["time"].reshape(-1, unit.size)
    valid = info["validity_mask"].reshape(-1, unit.size)
    column = torch.arange(len(rb.storage)) % envs
    start_time = rb.storage.get(anchors)["time"]
    oldest = n - rb.storage.num_rows
    for w, (env, t) in enumerate(zip(column.tolist(), start_time.tolist(), strict=True)):
        first, last = t, t
        cross = policy == "include_reset"
        while first > oldest and (cross or not ends[env, first - 1]):
            first -= 1
        while last < n - 1 and (cross or not ends[env, last]):
            last += 1
        if policy == "stop":
            t = min(t, max(last - dilation * (length + bootstrap - 1), first))
        wanted = [t + dilation * (i - burn_in) for i in range(unit.size)]
        assert valid[w].tolist() == [first <= x <= last for x in wanted]
        assert found[w].tolist() == [min(max(x, first), last) for x in wanted]
    if envs > 1:
        assert torch.equal(info["anchor_index"][:: unit.size], torch.stack(anchors, -1))


def test_batches_of_a_buffer():
    rb = TensorDictReplayBuffer(
        storage=LazyTensorStorage(20),
        sampler=PrioritizedSampler(20, 1.0, 1.0, eps=0.0),
        sample_unit=Sequence(2, burn_in=1),
        batch_size=4,
    )
    rb.extend(rows([False] * 9 + [True]))
    batch = rb.sample()
    assert batch.shape == (12,)
    assert batch["priority_weight"].shape == (12,)
    # windows have a time dimension, and their priorities go to the anchors
    batch = batch.reshape(4, 3)
    batch["td_error"] = torch.full((4, 3, 1), 2.0)
    batch["td_error"][~batch["validity_mask"]] = 99.0
    batch["td_error"][:, 1] = 5.0
    rb.update_tensordict_priority(batch)
    leaves = rb.sampler.state_dict()["leaves"]
    anchors = batch["anchor_index"][:, 0].unique()
    assert torch.equal((leaves == 5.0).nonzero()[:, 0], anchors)
    assert not (leaves == 99.0).any()


def test_resume_and_prefetching():
    check_buffer(
        lambda generator, prefetch: TensorDictReplayBuffer(
            storage=LazyTensorStorage(12),
            sample_unit=Sequence(3, "stop", burn_in=1),
            batch_size=4,
            prefetch=prefetch,
            generator=generator,
        ),
        lambda n: rows((torch.rand(n) < 0.3).tolist()),
    )


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"length": 0}, "`length` is 0, expected at least 1"),
        ({"length": 1, "burn_in": -1}, "`burn_in` is -1, expected at least 0"),
        ({"length": 1, "dilation": 0}, "`dilation` is 0, expected at least 1"),
        ({"length": 1, "episode_boundary": "wrap"}, "expected one of"),
    ],
)
def test_arguments_out_of_range(kwargs, message):
    with pytest.raises(ValueError, match=message):
        Sequence(**kwargs)


def test_a_flag_that_is_not_stored():
    with pytest.raises(MissingKeyError, match="pass `done_key=None`"):
        expand(Sequence(2, done_key="nope"), [0])
