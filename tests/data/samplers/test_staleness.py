import pytest
import torch
from tensordict import TensorDict

from rl.core.errors import MissingKeyError, SpecError
from rl.data import LazyTensorStorage, ListStorage, StalenessAwareSampler, TensorDictReplayBuffer


def make(sampler, versions=(0, 1, 2, 3), storage=None, key="policy_version"):
    rb = TensorDictReplayBuffer(
        storage=storage or LazyTensorStorage(9),
        sampler=sampler,
        batch_size=20_000,
        generator=torch.Generator().manual_seed(0),
    )
    versions = torch.tensor(versions)
    rb.extend(TensorDict({key: versions, "x": versions * 10.0}, [len(versions)]))
    return rb


def test_rows_are_drawn_by_one_over_their_age():
    sampler = StalenessAwareSampler()
    sampler.consumer_version = 4
    batch = make(sampler).sample()
    assert torch.equal(batch["staleness"], 4.0 - batch["policy_version"])
    drawn = batch["policy_version"].bincount(minlength=4) / 20_000
    wanted = 1 / torch.tensor([5.0, 4.0, 3.0, 2.0])
    assert (drawn - wanted / wanted.sum()).abs().max() < 0.015


def test_the_limit_and_the_weights_are_the_users():
    sampler = StalenessAwareSampler(2, staleness_weight_fn=lambda s: (s == 2) * 1.0)
    sampler.consumer_version = 3
    rb = make(sampler)
    assert rb.sample()["policy_version"].unique().tolist() == [1]
    sampler.staleness_weight_fn = torch.ones_like
    assert rb.sample()["policy_version"].unique().tolist() == [1, 2, 3]
    assert sampler.increment_consumer_version() == 4
    assert rb.sample()["policy_version"].unique().tolist() == [2, 3]


@pytest.mark.parametrize("storage", [ListStorage(9), None])
def test_nested_keys_and_lists(storage):
    sampler = StalenessAwareSampler(version_key=("collector", "version"))
    sampler.consumer_version = 3
    rb = TensorDictReplayBuffer(
        storage=storage or LazyTensorStorage(9), sampler=sampler, batch_size=4
    )
    rb.extend(TensorDict({"collector": {"version": torch.tensor([[1], [2]])}}, [2]))
    assert rb.sample()["staleness"].shape == (4,)


def test_bad_input():
    sampler = StalenessAwareSampler(max_staleness=1)
    rb = make(sampler)
    with pytest.raises(SpecError, match=r"Set `sampler.consumer_version`"):
        rb.sample()
    sampler.consumer_version = 50
    with pytest.raises(RuntimeError, match="All 4 rows have weight 0: the freshest is 47"):
        rb.sample()
    with pytest.raises(MissingKeyError, match="tell the sampler its key"):
        make(StalenessAwareSampler(), key="version").sample()
    for bad in (lambda s: -s.double() - 1, lambda s: s[:1], lambda s: s / 0.0):
        wrong = StalenessAwareSampler(staleness_weight_fn=bad)
        wrong.consumer_version = 9
        with pytest.raises(SpecError, match="finite numbers of at least 0"):
            make(wrong).sample()
    with pytest.raises(ValueError, match="at least -1"):
        StalenessAwareSampler(-2)
