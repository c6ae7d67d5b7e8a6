import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensordict import TensorDict

from rl.data import (
    LazyTensorStorage,
    LinearScheduler,
    PrioritizedSliceSampler,
    TensorDictReplayBuffer,
    TensorStorage,
)


def flags(n):
    return torch.zeros(n, 1, dtype=torch.bool)


def rows(lengths, start=0):
    n = sum(lengths)
    done = flags(n)
    done[torch.tensor(lengths).cumsum(0) - 1] = True
    return TensorDict({"x": torch.arange(start, start + n), "next": {"done": done}}, [n])


def buffer(lengths, capacity=20, batch_size=3, alpha=1.0, beta=1.0, **kwargs):
    kwargs = {"slice_len": 3} | kwargs
    rb = TensorDictReplayBuffer(
        storage=LazyTensorStorage(capacity),
        sampler=PrioritizedSliceSampler(capacity, alpha, beta, **kwargs),
        batch_size=batch_size,
        generator=torch.Generator().manual_seed(0),
    )
    rb.extend(rows(lengths))
    return rb


def shares(rb, turns=20, number=1000):
    """Return how often slices start at each row, as a share of all."""
    length = rb.sampler.slice_len
    first = torch.cat([rb.sample(number * length)["x"][::length] for _ in range(turns)])
    start, count = first.unique(return_counts=True)
    return {s: c / (turns * number) for s, c in zip(start.tolist(), count.tolist(), strict=True)}


def test_starts_are_drawn_by_priority():
    rb = buffer([4, 6])
    priority = torch.tensor([1.0, 2, 3, 4, 1, 2, 3, 4, 5, 6])
    rb.update_priority(torch.arange(10), priority)
    # 2, 3 and 8, 9 are too near the end; the rest have priorities of 13 in sum
    expected = {0: 1 / 13, 1: 2 / 13, 4: 1 / 13, 5: 2 / 13, 6: 3 / 13, 7: 4 / 13}
    found = shares(rb)
    assert found.keys() == expected.keys()
    for start, share in expected.items():
        assert found[start] == pytest.approx(share, abs=0.012)


def test_weights_are_those_of_the_first_row():
    rb = buffer([6], alpha=2.0, beta=0.5, batch_size=30, eps=0.0)
    rb.update_priority(torch.arange(6), torch.tensor([1.0, 2, 3, 4, 0.1, 0.1]))
    batch = rb.sample().reshape(10, 3)
    # P(i) / min P is (p_i / 1)^2, to the power of -1/2
    expected = 1 / (batch["x"][:, :1] + 1.0)
    torch.testing.assert_close(batch["priority_weight"], expected.expand(10, 3))


def test_priorities_of_all_rows_of_a_slice():
    rb = buffer([4], slice_len=4, batch_size=4)
    batch = rb.sample()
    batch["td_error"] = torch.tensor([[1.0], [5.0], [2.0], [7.0]])
    rb.update_tensordict_priority(batch)
    state = rb.sampler.state_dict()
    torch.testing.assert_close(state["leaves"][:4], torch.tensor([1.0, 5.0, 2.0, 7.0]))
    # a slice of two rows can start at three of them
    rb.sampler.slice_len = 2
    found = shares(rb)
    assert found.keys() == {0, 1, 2}
    assert found[1] == pytest.approx(5 / 8, abs=0.02)


def test_new_rows_have_the_largest_priority():
    rb = buffer([4])
    rb.update_priority(torch.arange(4), torch.tensor([9.0, 1.0, 1.0, 1.0]))
    rb.extend(rows([3], start=4))
    assert shares(rb)[4] == pytest.approx(9 / 19, abs=0.02)


def test_largest_priority_in_the_buffer():
    rb = buffer([4], capacity=4, max_priority_within_buffer=True)
    rb.update_priority(torch.arange(4), torch.tensor([1.0, 9.0, 1.0, 2.0]))
    rb.extend(rows([2], start=4))  # replaces rows 0 and 1: those have 9, as the largest was then
    rb.update_priority(torch.arange(2), torch.tensor([1.0, 1.0]))
    rb.extend(rows([1], start=6))
    torch.testing.assert_close(
        rb.sampler.state_dict()["leaves"], torch.tensor([1.0, 1.0, 2.0, 2.0])
    )


def test_short_trajectories_are_drawn_by_their_first_row():
    rb = buffer([2, 4], strict_length=False)
    rb.update_priority(torch.arange(6), torch.tensor([6.0, 90.0, 1.0, 1.0, 90.0, 90.0]))
    drawn = [tuple(rb.sample()["x"].tolist()) for _ in range(400)]
    assert set(drawn) == {(0, 1), (2, 3, 4), (3, 4, 5)}
    assert drawn.count((0, 1)) / 400 == pytest.approx(6 / 8, abs=0.07)


def test_span_to_the_right():
    rb = buffer([2, 5], span=(0, 1))
    assert {tuple(rb.sample()["x"].tolist()) for _ in range(400)} == {
        (2, 3, 4),
        (3, 4, 5),
        (4, 5, 6),
        (5, 6),
    }


def test_span_to_the_left():
    rb = buffer([2, 4], span=(True, False))
    assert {tuple(rb.sample()["x"].tolist()) for _ in range(400)} == {
        (2,),
        (2, 3),
        (2, 3, 4),
        (3, 4, 5),
    }


@settings(max_examples=40, deadline=None)
@given(
    data=st.data(),
    length=st.integers(1, 4),
    strict=st.booleans(),
    span=st.sampled_from([0, 1, True]),
    capacity=st.sampled_from([7, 12, 150]),
)
def test_trees_hold_what_can_start(data, length, strict, span, capacity):
    """After any writes and updates, the trees are those of a fresh sampler over the same rows."""
    kwargs = {"slice_len": length, "strict_length": strict, "span": span}
    rb = TensorDictReplayBuffer(
        storage=LazyTensorStorage(capacity),
        sampler=PrioritizedSliceSampler(capacity, 1.0, 1.0, end_key=("next", "done"), **kwargs),
    )
    random = np.random.default_rng(data.draw(st.integers(0, 1000)))
    rb.extend(rows([length] * (capacity // length)))
    for _ in range(data.draw(st.integers(1, 6))):
        rb.sample(length)
        if data.draw(st.booleans()):
            n = data.draw(st.integers(1, min(capacity, 9)))
            new = rows([n])
            new["next", "done"] = torch.from_numpy(random.random((n, 1)) < 0.3)
            rb.extend(new)
        else:
            index = torch.from_numpy(random.integers(0, len(rb), 3))
            rb.update_priority(index, torch.from_numpy(random.random(3)))
        try:
            rb.sample(length)
        except RuntimeError:
            break
        fresh = PrioritizedSliceSampler(capacity, 1.0, 1.0, end_key=("next", "done"), **kwargs)
        fresh.prepare(rb.storage)
        fresh.load_state_dict(rb.sampler.state_dict())
        fresh.sample(rb.storage, length)
        ours = rb.sampler
        assert torch.equal(ours._sum_tree.leaves(), fresh._sum_tree.leaves())
        assert ours._least.value() == fresh._least.value()
        assert torch.equal(ours._sum_tree.leaves() > 0, torch.from_numpy(fresh._can_start))


def test_rows_without_priorities():
    rb = TensorDictReplayBuffer(
        storage=TensorStorage(rows([4])),
        sampler=PrioritizedSliceSampler(4, 1.0, 1.0, slice_len=2),
        batch_size=2,
    )
    with pytest.raises(RuntimeError, match="mark_update"):
        rb.sample()
    rb.mark_update(torch.arange(4))
    assert rb.sample()["x"].shape == (2,)


def test_too_small_a_capacity():
    with pytest.raises(ValueError, match="max_capacity=9"):
        TensorDictReplayBuffer(
            storage=LazyTensorStorage(9), sampler=PrioritizedSliceSampler(5, 1.0, 1.0, slice_len=2)
        )


def test_schedulers_reach_it():
    sampler = PrioritizedSliceSampler(5, 1.0, 0.4, slice_len=2)
    LinearScheduler(sampler, "beta", 1.0, 2).step()
    assert sampler.beta == pytest.approx(0.7)


def test_emptying():
    rb = buffer([6], capacity=6)
    rb.sample()
    rb.empty()
    assert rb.sampler.state_dict()["leaves"].sum() == 0
    rb.extend(rows([3]))
    assert rb.sample()["x"].tolist() == [0, 1, 2]
