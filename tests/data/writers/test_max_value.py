import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tensordict import TensorDict

from rl.core.errors import MissingKeyError, SpecError
from rl.data import LazyTensorStorage, TensorDictMaxValueWriter, TensorDictReplayBuffer


def make(size=3, key="rank", **kwargs):
    return TensorDictReplayBuffer(
        storage=LazyTensorStorage(size),
        writer=TensorDictMaxValueWriter(key, **kwargs),
        batch_size=2,
    )


def rows(*ranks):
    return TensorDict({"rank": torch.tensor(ranks), "id": torch.arange(len(ranks))}, [len(ranks)])


def test_the_index_is_that_of_the_reference():
    rb = make()
    assert rb.extend(rows(1.0, 5.0, 3.0, 4.0, 2.0)).tolist() == [-1, 1, 2, 0, -1]
    assert rb[:]["rank"].tolist() == [4.0, 5.0, 3.0]
    assert rb.add(rows(10.0)[0]) == 2
    assert rb.add(rows(0.0)[0]) is None
    assert rb[:]["rank"].tolist() == [4.0, 5.0, 10.0]
    assert rb.write_count == 7
    assert sorted(rb.sample(50)["index"].unique().tolist()) == [0, 1, 2]


@given(batches=st.lists(st.lists(st.integers(0, 20), max_size=9), max_size=5))
def test_the_best_are_kept_whatever_comes(batches):
    rb = make(4)
    given_ranks = []
    for batch in batches:
        index = rb.extend(rows(*map(float, batch)))
        given_ranks += batch
        for place, number in zip(index.tolist(), range(len(batch)), strict=True):
            if place >= 0:
                assert rb[place]["rank"] == batch[number]
    best = sorted(given_ranks)[-4:]
    if best:
        assert sorted(rb[:]["rank"].tolist()) == best


@pytest.mark.parametrize(
    ("reduction", "kept"), [("sum", 0), ("mean", 0), ("max", 0), ("min", 2), ("median", 2)]
)
def test_trajectories_rank_by_a_reduction(reduction, kept):
    reward = torch.tensor([[1.0, 2.0, 9.5], [2.0, 3.0, 3.0], [4.0, 4.0, 4.0]])[..., None]
    rb = make(1, None, reduction=reduction)
    rb.extend(TensorDict({"next": {"reward": reward}}, [3]))
    assert torch.equal(rb[0]["next", "reward"], reward[kept])


def test_bad_input_changes_nothing():
    rb = make()
    rb.extend(rows(1.0, 2.0))
    with pytest.raises(SpecError, match="NaN"):
        rb.extend(rows(3.0, float("nan")))
    with pytest.raises(MissingKeyError, match="Pass `rank_key"):
        rb.extend(TensorDict({"id": torch.arange(2)}, [2]))
    with pytest.raises(SpecError):
        rb.extend(rows(3.0, 4.0).set("extra", torch.zeros(2)))
    assert rb[:]["rank"].tolist() == [1.0, 2.0]
    assert rb.extend(rows(0.0)).tolist() == [2]
    with pytest.raises(ValueError, match="Use `ndim=1`"):
        TensorDictReplayBuffer(
            storage=LazyTensorStorage(9, ndim=2), writer=TensorDictMaxValueWriter()
        )
    with pytest.raises(ValueError, match="expected one of"):
        TensorDictMaxValueWriter(reduction="best")
