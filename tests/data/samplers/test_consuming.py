import pytest
import torch

from rl.data import ConsumingSampler, LazyTensorStorage, ListStorage, ReplayBuffer


def make(k=1, size=10, **kwargs):
    return ReplayBuffer(
        storage=LazyTensorStorage(size), sampler=ConsumingSampler(k), batch_size=3, **kwargs
    )


def test_each_element_is_drawn_k_times_and_never_twice_in_a_batch():
    rb = make(2)
    rb.extend(torch.arange(7))
    seen = []
    while rb.can_sample(1):
        batch = rb.sample().tolist()
        assert len(set(batch)) == len(batch)
        seen += batch
    assert sorted(seen) == sorted([*range(7)] * 2)
    assert len(rb) == 0
    with pytest.raises(RuntimeError, match="all 7 elements were drawn 2 times"):
        rb.sample()


def test_writes_go_where_elements_were_used_up():
    rb = make()
    rb.extend(torch.arange(10))
    used = set(rb.sample().tolist())
    kept = set(range(10)) - used
    index = rb.extend(torch.tensor([20, 21]))
    assert set(index.tolist()) <= used, "a row that was not drawn was overwritten"
    assert len(rb) == 9
    index = rb.extend(torch.arange(30, 33))
    assert len(set(index.tolist())) == 3
    assert used & set(index.tolist()), "the third place that was free was not taken"
    assert len(kept & set(rb[:].tolist())) >= 5, "more than the two oldest were overwritten"
    assert len(rb) == 10


def test_used_up_rows_and_the_cursor_do_not_collide():
    rb = make(size=6)
    rb.extend(torch.arange(4))
    rb.sample(4)
    index = rb.extend(torch.arange(10, 16))  # four places that are free, two that are new
    assert sorted(index.tolist()) == [0, 1, 2, 3, 4, 5]
    assert sorted(rb[:].tolist()) == [*range(10, 16)]
    assert len(rb) == 6


def test_the_short_argument():
    rb = ReplayBuffer(storage=ListStorage(9), consume_after_n_samples=1, batch_size=2)
    rb.extend([1, 2, 3])
    assert [len(rb.sample()) for _ in range(2)] == [2, 1]
    with pytest.raises(ValueError, match="not both"):
        make(consume_after_n_samples=2)


def test_bad_input():
    with pytest.raises(ValueError, match="at least 1"):
        ConsumingSampler(0)
    with pytest.raises(ValueError, match="`prefetch=` does not"):
        make(prefetch=2)
    with pytest.raises(ValueError, match="Use `ndim=1`"):
        ReplayBuffer(storage=LazyTensorStorage(9, ndim=2), sampler=ConsumingSampler())
