import copy
import pickle

import pytest
import torch
from tensordict import TensorDict

from rl.core.errors import ShapeError, SpecError
from rl.data import (
    DeviceSumTree,
    LazyTensorStorage,
    ListStorage,
    PrioritizedSampler,
    ReplayBuffer,
    TensorDictReplayBuffer,
)
from rl.data.testing import check_buffer


@pytest.fixture(autouse=True, params=["host", "device"])
def tree(request, monkeypatch):
    """Every test with the tree of the CPU, and with that of devices."""
    if request.param == "device":
        monkeypatch.setattr(
            "rl.data.samplers.prioritized._tree",
            lambda size, dtype, _: DeviceSumTree(size, dtype, "cpu"),
        )


def make(n=4, capacity=None, **kwargs):
    storage = ListStorage(capacity or n)
    storage.set(range(n), list(range(n)))
    sampler = PrioritizedSampler(capacity or n, **{"alpha": 1.0, "beta": 1.0, "eps": 0.0, **kwargs})
    sampler.generator = torch.Generator().manual_seed(0)
    sampler.extend(torch.arange(n))
    return storage, sampler


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("n", [5, 6000])
def test_draws_follow_the_paper(alpha, n):
    # P(i) = p_i^alpha / sum_k p_k^alpha, equation 1; with n = 6000 the tree has an inner level
    storage, sampler = make(n, alpha=alpha)
    priority = torch.full((n,), 1e-3)
    chosen = torch.tensor([0, n // 2, n - 1])
    priority[chosen] = torch.tensor([100.0, 400.0, 900.0])
    sampler.update_priority(torch.arange(n), priority)
    index, _ = sampler.sample(storage, 100_000)
    counts = torch.bincount(index, minlength=n).double()
    expected = priority.double() ** alpha
    expected = expected / expected.sum() * 100_000
    deviation = expected.sqrt() * 5 + 5
    assert ((counts - expected).abs() < deviation).all()


def test_weights_follow_the_paper():
    # w_i = (P(i) / min P)^-beta: priorities 1 and 16, alpha 0.5, so leaves 1 and 4; 4^-0.5 = 1/2
    storage, sampler = make(2, alpha=0.5, beta=0.5)
    sampler.update_priority(torch.arange(2), torch.tensor([1.0, 16.0]))
    index, info = sampler.sample(storage, 50)
    weight = info["priority_weight"]
    assert weight.dtype is torch.float32
    torch.testing.assert_close(weight, torch.where(index == 0, 1.0, 0.5))
    assert set(index.tolist()) == {0, 1}


def test_new_elements_have_the_largest_priority_seen():
    storage, sampler = make(2, capacity=3)
    sampler.update_priority(torch.arange(2), torch.tensor([0.5, 8.0]))
    sampler.update_priority(torch.tensor([1]), torch.tensor([2.0]))
    storage.set(2, "new")
    sampler.extend(torch.tensor([2]))
    assert sampler.state_dict()["leaves"].tolist() == [0.5, 2.0, 8.0]


def test_new_elements_may_have_the_largest_priority_in_the_buffer():
    _, sampler = make(2, capacity=3, max_priority_within_buffer=True)
    sampler.update_priority(torch.arange(2), torch.tensor([0.5, 8.0]))
    sampler.update_priority(torch.tensor([1]), torch.tensor([2.0]))
    assert sampler.default_priority == 2.0


def test_eps_is_added_before_the_power():
    _, sampler = make(1, alpha=2.0, eps=0.5)
    sampler.update_priority(torch.tensor([0]), torch.tensor([1.0]))
    assert sampler.state_dict()["leaves"].tolist() == [2.25]


def test_a_priority_that_underflows_keeps_its_element():
    storage, sampler = make(2, alpha=10.0, eps=1e-8)
    sampler.update_priority(torch.arange(2), torch.tensor([0.0, 0.0]))
    index, info = sampler.sample(storage, 100)
    assert set(index.tolist()) == {0, 1}
    assert torch.equal(info["priority_weight"], torch.ones(100))


@pytest.mark.parametrize(
    ("reduction", "expected"), [("max", 4.0), ("min", 1.0), ("mean", 2.25), ("median", 2.0)]
)
def test_further_dimensions_are_reduced(reduction, expected):
    _, sampler = make(1, reduction=reduction)
    sampler.update_priority(torch.tensor([0]), torch.tensor([[[1.0, 2.0], [2.0, 4.0]]]))
    assert sampler.state_dict()["leaves"].tolist() == [expected]


def test_one_priority_for_all():
    _, sampler = make(3)
    sampler.update_priority(torch.tensor([0, 2]), 5.0)
    assert sampler.state_dict()["leaves"].tolist() == [5.0, 1.0, 5.0]


@pytest.mark.parametrize(
    "priority",
    [
        torch.tensor([0.0, 2.0], dtype=torch.bfloat16),
        torch.tensor([0, 2]),
        torch.tensor([-0.0, 2.0], requires_grad=True),
        torch.tensor([0.0, 2.0], dtype=torch.float64),
        [0.0, 2.0],
    ],
    ids=str,
)
def test_priorities_of_any_kind_are_taken_and_left_as_they_are(priority):
    _, sampler = make(2, eps=0.5)
    before = torch.as_tensor(priority).tolist()
    sampler.update_priority([0, 1], priority)
    assert sampler.state_dict()["leaves"].tolist() == [0.5, 2.5]
    assert torch.as_tensor(priority).tolist() == before


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_bad_priorities_raise_and_change_nothing(value):
    _, sampler = make(2)
    with pytest.raises(SpecError, match=r"Pass `td_error\.abs\(\)`"):
        sampler.update_priority(torch.arange(2), torch.tensor([1.5, value]))
    assert sampler.state_dict()["leaves"].tolist() == [1.0, 1.0]


def test_priorities_of_another_number_raise():
    _, sampler = make(2)
    with pytest.raises(ShapeError, match=r"shape \[3\].* 2 elements.*one priority per element"):
        sampler.update_priority(torch.arange(2), torch.ones(3))


def test_elements_out_of_range_raise():
    storage, sampler = make(2, capacity=5)
    for index in ([2], [-1]):
        with pytest.raises(IndexError, match=r"expected them in \[0, 2\).*`index` entry"):
            sampler.update_priority(torch.tensor(index), 1.0, storage=storage)
    with pytest.raises(IndexError, match="`index` entry"):
        sampler.mark_update(torch.tensor([5]))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"alpha": -0.1}, "`alpha` is -0.1"),
        ({"beta": float("nan")}, "`beta` is nan"),
        ({"eps": -1.0}, "`eps` is -1.0"),
        ({"reduction": "sum"}, "expected one of .*'max'"),
        ({"dtype": torch.int32}, r"expected torch\.float32"),
    ],
)
def test_bad_arguments_raise(kwargs, message):
    with pytest.raises(ValueError, match=message):
        PrioritizedSampler(10, **{"alpha": 0.5, "beta": 0.5, **kwargs})


def test_a_storage_that_is_too_large_raises():
    with pytest.raises(ValueError, match="Build the sampler with max_capacity=20"):
        PrioritizedSampler(10, 0.5, 0.5).prepare(ListStorage(20))


def test_rows_written_past_the_sampler_raise():
    storage = ListStorage(3)
    storage.set(range(3), "abc")
    with pytest.raises(RuntimeError, match="mark_update"):
        PrioritizedSampler(3, 0.5, 0.5).sample(storage, 2)


def test_state_round_trip_draws_the_same():
    storage, sampler = make(4000, capacity=5000)
    sampler.update_priority(torch.arange(4000), torch.rand(4000))
    other = PrioritizedSampler(5000, 0.1, 0.1)
    other.load_state_dict(sampler.state_dict())
    draws = []
    for each in (sampler, other):
        each.generator = torch.Generator().manual_seed(4)
        index, info = each.sample(storage, 500)
        draws.append((index, info["priority_weight"]))
    assert torch.equal(draws[0][0], draws[1][0])
    assert torch.equal(draws[0][1], draws[1][1])


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda rb: pickle.loads(pickle.dumps(rb))])
def test_a_copied_buffer_draws_by_its_own_priorities(copied):
    sampler = PrioritizedSampler(8, alpha=1.0, beta=1.0)
    rb = copied(ReplayBuffer(storage=LazyTensorStorage(8), sampler=sampler, batch_size=400))
    rb.extend({"x": torch.arange(4)})
    rb.update_priority(torch.arange(4), torch.tensor([0.0, 0.0, 2.0, 6.0]))
    rb = copied(rb)
    rb.update_priority(torch.tensor([3]), 2.0)
    batch = rb.sample()
    assert 120 < (batch["x"] == 3).sum() < 280
    assert set(batch["x"].tolist()) == {2, 3}
    rb.update_priority(torch.arange(2), 2.0)
    assert rb.sample(return_info=True)[1]["priority_weight"].min() == 1.0


@pytest.mark.parametrize("ndim", [1, 2])
def test_the_kit_of_buffers(ndim):
    """Same random state, same draws; prefetching changes none; a saved buffer goes on."""
    shape = (2,) if ndim == 2 else ()
    check_buffer(
        lambda generator, prefetch: TensorDictReplayBuffer(
            storage=LazyTensorStorage(24, ndim=ndim),
            sampler=PrioritizedSampler(24, 0.7, 0.5),
            batch_size=6,
            generator=generator,
            prefetch=prefetch,
        ),
        lambda n: TensorDict({"x": torch.randn(*shape, n, 3)}, [*shape, n]),
    )
