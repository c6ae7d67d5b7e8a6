import pytest
import torch
from tensordict import TensorDict

from rl.core.errors import MissingKeyError, ShapeError, SpecError
from rl.data import (
    LazyTensorStorage,
    ListStorage,
    PrioritizedSampler,
    SamplerWithoutReplacement,
    TensorDictReplayBuffer,
)


def td(n, start=0, **more):
    return TensorDict(
        {"x": torch.arange(start, start + n), "next": {"reward": torch.ones(n, 1)}, **more}, [n]
    )


def make(n=6, **kwargs):
    rb = TensorDictReplayBuffer(storage=LazyTensorStorage(10), batch_size=4, **kwargs)
    if n:
        rb.extend(td(n))
    return rb


def prioritized(n=6, **kwargs):
    return make(n, sampler=PrioritizedSampler(10, 1.0, 1.0, eps=0.0), **kwargs)


def leaves(rb):
    return rb.sampler.state_dict()["leaves"][: len(rb)].tolist()


def test_batches_know_where_they_come_from():
    batch = make().sample()
    assert batch.batch_size == (4,)
    assert torch.equal(batch["index"], batch["x"])
    assert set(batch.keys(True, True)) == {"index", "x", ("next", "reward")}
    batch = prioritized().sample()
    assert batch["priority_weight"].shape == (4,)


def test_rows_know_their_index():
    rb = make()
    assert rb[2:4]["index"].tolist() == [2, 3]
    assert rb[5]["index"] == 5
    assert rb[torch.tensor([4, 1])]["index"].tolist() == [4, 1]


def test_a_batch_can_be_written_back():
    rb = prioritized()
    batch = rb.sample()
    rb.extend(batch)
    rb[0:4] = batch
    assert len(rb) == 10
    assert torch.equal(rb.storage[0:4]["x"], batch["x"])


def test_the_data_that_is_written_stays_as_it_is():
    rows = td(3)
    make().extend(rows)
    assert set(rows.keys()) == {"x", "next"}


def test_lists_of_rows():
    rb = make(0)
    rb.extend([td(1)[0], td(1, start=5)[0]])
    assert rb[:]["x"].tolist() == [0, 5]
    rb = TensorDictReplayBuffer(storage=ListStorage(5), batch_size=3)
    rb.extend(td(4))
    assert torch.equal(rb.sample()["index"].sort().values >= 0, torch.ones(3).bool())


def test_what_is_no_tensordict_raises():
    for write in (make().extend, make().add):
        with pytest.raises(TypeError, match=r"use `ReplayBuffer`"):
            write({"x": torch.ones(2)})


def test_priorities_in_the_data_are_taken_and_not_stored():
    rb = prioritized(0)
    rb.extend(td(3, td_error=torch.tensor([[1.0], [2.0], [3.0]])))
    rb.add(td(1)[0].set("td_error", torch.tensor([4.0])))
    assert leaves(rb) == [1.0, 2.0, 3.0, 4.0]
    assert "td_error" not in rb.sample().keys()  # noqa: SIM118
    rb.extend(td(2, td_error=torch.ones(2)), update_priority=False)
    assert leaves(rb) == [1.0, 2.0, 3.0, 4.0, 4.0, 4.0]


def test_bad_priorities_in_the_data_raise_and_change_nothing():
    rb = prioritized(2)
    with pytest.raises(SpecError, match="expected finite numbers"):
        rb.extend(td(3, td_error=torch.tensor([1.0, float("nan"), 1.0])))
    with pytest.raises(SpecError, match="expected finite numbers"):
        rb.add(td(1)[0].set("td_error", torch.tensor(-1.0)))
    assert len(rb) == 2


def test_without_priorities_the_entry_is_data():
    rb = make(0)
    rb.extend(td(3, td_error=torch.ones(3)))
    batch = rb.sample()
    assert "td_error" in batch.keys()  # noqa: SIM118
    rb.update_tensordict_priority(batch)


def test_updating_the_priorities_of_a_batch():
    rb = prioritized(3, priority_key=("loss", "error"))
    batch = rb[torch.tensor([2, 0])].set(("loss", "error"), torch.tensor([[5.0], [7.0]]))
    rb.update_tensordict_priority(batch)
    assert leaves(rb) == [7.0, 1.0, 5.0]


def test_a_batch_without_priorities_raises():
    rb = prioritized()
    with pytest.raises(MissingKeyError, match=r"`td_error` is missing.*`priority_key="):
        rb.update_tensordict_priority(rb.sample())
    with pytest.raises(MissingKeyError, match=r"`index` is missing.*that `sample` returned"):
        rb.update_tensordict_priority(td(2, td_error=torch.ones(2)))
    with pytest.raises(ShapeError, match="one priority per element"):
        rb.update_priority(torch.arange(2), torch.ones(3))


def test_priorities_of_two_dimensions():
    rb = TensorDictReplayBuffer(
        storage=LazyTensorStorage(8, ndim=2),
        sampler=PrioritizedSampler(8, 1.0, 1.0, eps=0.0),
        batch_size=30,
    )
    error = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    rb.extend(TensorDict({"x": error, "td_error": error[..., None]}, [2, 3]))
    # time first in the storage
    assert leaves(rb) == [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]
    batch = rb.sample()
    assert batch["index"].shape == (30, 2)
    batch["td_error"] = batch["x"] * 10
    rb.update_tensordict_priority(batch)
    drawn = set((batch["x"] * 10).tolist())
    assert drawn <= set(leaves(rb))


def test_changes_in_place():
    rb = make(4)
    rb.set_("x", torch.zeros(4, dtype=torch.int64))
    rb.set_at_("x", torch.tensor([7, 8]), torch.tensor([1, 3]))
    assert rb[:]["x"].tolist() == [0, 7, 0, 8]
    rb.update_(TensorDict({"next": {"reward": torch.full((4, 1), 2.0)}}, [4]))
    assert rb[:]["next", "reward"].sum() == 8


def test_a_change_in_place_makes_prefetched_batches_stale():
    rb = make(4, sampler=SamplerWithoutReplacement(), prefetch=4)
    for _ in range(3):
        rb.sample()
    rb.set_("x", torch.full((4,), 9))
    assert rb.sample()["x"].tolist() == [9] * 4
    rb.shutdown()
