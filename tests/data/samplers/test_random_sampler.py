import pytest
import torch

from rl.data import LazyTensorStorage, ListStorage, RandomSampler


def stored(n):
    storage = ListStorage(n)
    storage.set(range(n), list(range(n)))
    return storage


def test_draws_are_uniform():
    sampler = RandomSampler()
    sampler.generator = torch.Generator().manual_seed(0)
    index, info = sampler.sample(stored(4), 40_000)
    counts = torch.bincount(index, minlength=4)
    # the standard deviation of a count is 87
    assert (counts - 10_000).abs().max() < 400
    assert info == {}


def test_the_generator_decides():
    sampler, storage = RandomSampler(), stored(100)
    draws = []
    for _ in range(2):
        sampler.generator = torch.Generator().manual_seed(3)
        draws.append(sampler.sample(storage, 20)[0])
    assert torch.equal(*draws)


def test_inner_dimensions_give_coordinates():
    storage = LazyTensorStorage(12, ndim=2)
    storage.set(range(2), torch.zeros(2, 3))
    rows, columns = RandomSampler().sample(storage, 200)[0]
    assert set(rows.tolist()) == {0, 1}
    assert set(columns.tolist()) == {0, 1, 2}


def test_an_empty_storage_raises():
    with pytest.raises(RuntimeError, match="write with `add` or `extend` before sampling"):
        RandomSampler().sample(ListStorage(3), 2)
