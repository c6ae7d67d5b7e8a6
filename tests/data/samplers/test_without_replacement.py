import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rl.data import ListStorage, SamplerWithoutReplacement


def stored(n):
    storage = ListStorage(100)
    storage.set(range(n), list(range(n)))
    return storage


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 20), st.integers(1, 25), st.booleans())
def test_a_pass_has_each_element_once(size, batch, shuffle):
    sampler, storage = SamplerWithoutReplacement(shuffle=shuffle), stored(size)
    for _ in range(2):
        dealt = []
        for number in range(-(-size // batch)):
            index, _ = sampler.sample(storage, batch)
            assert len(index) == min(batch, size - number * batch)
            dealt += index.tolist()
            assert sampler.ran_out == (len(dealt) == size)
        assert sorted(dealt) == list(range(size))


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 20), st.data())
def test_drop_last_leaves_the_incomplete_batch_out(size, data):
    batch = data.draw(st.integers(1, size))
    sampler, storage = SamplerWithoutReplacement(drop_last=True), stored(size)
    dealt = []
    for number in range(size // batch):
        index, _ = sampler.sample(storage, batch)
        assert len(index) == batch
        dealt += index.tolist()
        assert sampler.ran_out == (number == size // batch - 1)
    assert len(set(dealt)) == len(dealt)


def test_each_pass_has_its_own_order():
    sampler, storage = SamplerWithoutReplacement(), stored(50)
    sampler.generator = torch.Generator().manual_seed(0)
    first, second = (sampler.sample(storage, 50)[0] for _ in range(2))
    assert not torch.equal(first, second)


def test_writing_starts_a_new_pass():
    sampler, storage = SamplerWithoutReplacement(shuffle=False), stored(4)
    sampler.sample(storage, 3)
    storage.set(range(4, 5), [4])
    sampler.extend(torch.tensor([4]))
    assert sampler.sample(storage, 5)[0].tolist() == [0, 1, 2, 3, 4]


def test_state_round_trip_continues_the_pass():
    sampler, storage = SamplerWithoutReplacement(), stored(10)
    sampler.sample(storage, 4)
    other = SamplerWithoutReplacement()
    other.load_state_dict(sampler.state_dict())
    assert torch.equal(sampler.sample(storage, 4)[0], other.sample(storage, 4)[0])


def test_a_snapshot_takes_draws_back():
    sampler, storage = SamplerWithoutReplacement(), stored(10)
    sampler.sample(storage, 4)
    snapshot = sampler.snapshot()
    first = sampler.sample(storage, 4)[0]
    sampler.restore(snapshot)
    assert torch.equal(sampler.sample(storage, 4)[0], first)


def test_drop_last_with_too_few_elements_raises():
    with pytest.raises(ValueError, match=r"batch size is 4.* holds 3.*pass `drop_last=False`"):
        SamplerWithoutReplacement(drop_last=True).sample(stored(3), 4)


def test_an_empty_storage_raises():
    with pytest.raises(RuntimeError, match="write with `add` or `extend` before sampling"):
        SamplerWithoutReplacement().sample(ListStorage(3), 2)
