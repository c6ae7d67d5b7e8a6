"""What happens to the other parts when one is replaced, or its rows are changed."""

import threading
import time

import pytest
import torch
from tensordict import TensorDict, tensorclass

from rl.core.errors import MissingKeyError, ShapeError, SpecError
from rl.data import (
    ConsumingSampler,
    H5Storage,
    LazyStackStorage,
    LazyTensorStorage,
    ListStorage,
    PrioritizedSampler,
    PromptGroupSampler,
    RandomSampler,
    ReplayBuffer,
    ReplayBufferEnsemble,
    SamplerWithoutReplacement,
    SliceSampler,
    TensorDictMaxValueWriter,
    TensorDictPrioritizedReplayBuffer,
    TensorDictReplayBuffer,
    TensorDictRoundRobinWriter,
)


def rows(n, start=0, **entries):
    return TensorDict({"x": torch.arange(start, start + n), **entries}, [n])


def holding(*values, size=10):
    storage = LazyTensorStorage(size)
    storage.set(range(len(values)), TensorDict({"x": torch.tensor(values)}, [len(values)]))
    return storage


def buffer(size=10, batch_size=4, **kwargs):
    kwargs.setdefault("storage", LazyTensorStorage(size))
    return TensorDictReplayBuffer(batch_size=batch_size, **kwargs)


# ------------------------------------------------------------------- storage


@pytest.mark.parametrize(
    "sampler",
    [RandomSampler(), SamplerWithoutReplacement(), PrioritizedSampler(10, alpha=1.0, beta=1.0)],
)
def test_draws_are_from_the_new_storage(sampler):
    rb = buffer(sampler=sampler)
    rb.extend(rows(10))
    rb.sample()
    rb.set_storage(holding(7, 8, 9))
    drawn = torch.cat([rb.sample(3)["x"] for _ in range(400)]).bincount()
    assert drawn[:7].sum() == 0
    assert (drawn[7:] / 400 - 1).abs().max() < 0.25
    assert rb.extend(rows(2, start=20)).tolist() == [3, 4]
    assert rb[:]["x"].tolist() == [7, 8, 9, 20, 21]


def test_an_empty_or_smaller_storage_is_written_from_its_start():
    rb = buffer()
    rb.extend(rows(6))
    rb.set_storage(LazyTensorStorage(4))
    assert rb.extend(rows(3)).tolist() == [0, 1, 2]
    assert rb.write_count == 3


def test_the_best_of_the_new_storage_are_kept():
    rb = buffer(size=3, writer=TensorDictMaxValueWriter("x"))
    rb.extend(rows(3))
    rb.set_storage(holding(100, 5, 50, size=3))
    rb.extend(rows(1, start=60))
    assert rb[:]["x"].tolist() == [100, 60, 50]


def test_generations_of_a_new_storage():
    rb = buffer(writer=TensorDictRoundRobinWriter(track_generations=True))
    rb.extend(rows(2))
    index = torch.arange(2)
    before = rb.writer.generations_of(index)
    rb.set_storage(holding(7, 8, 9))
    assert (rb.writer.generations_of(index) > before).all()


def test_a_storage_that_does_not_fit_changes_nothing():
    rb = buffer(size=4, sampler=PrioritizedSampler(4, 1.0, 1.0))
    rb.extend(rows(4))
    with pytest.raises(ValueError, match="max_capacity=9"):
        rb.set_storage(LazyTensorStorage(9))
    with pytest.raises(TypeError, match="expected a Storage"):
        rb.set_storage([1, 2])
    assert rb.storage.max_size == 4
    assert set(rb.sample(100)["x"].tolist()) == {0, 1, 2, 3}


# ------------------------------------------------------------------- sampler


def test_a_writer_forgets_the_sampler_that_used_rows_up():
    rb = buffer(size=4, sampler=ConsumingSampler(1), batch_size=2)
    rb.extend(rows(4))
    rb.sample()
    rb.set_sampler(RandomSampler())
    assert rb.extend(rows(2)).tolist() == [0, 1]
    assert rb.extend(rows(2)).tolist() == [2, 3]


# --------------------------------------------------------- rows changed in place


@pytest.mark.parametrize("make", [LazyTensorStorage, LazyStackStorage, H5Storage])
def test_entries_are_overwritten(make):
    rb = buffer(storage=make(10))
    rb.extend(rows(4, y=torch.zeros(4, 2)))
    rb.set_("x", torch.tensor([3, 2, 1, 0]))
    rb.set_at_("y", torch.ones(2), 1)
    rb.update_(TensorDict({"x": torch.full((4,), 9)}, [4]))
    assert rb[:]["x"].tolist() == [9, 9, 9, 9]
    assert rb[:]["y"].sum(1).tolist() == [0, 2, 0, 0]


def test_a_patch_that_does_not_fit_changes_nothing():
    rb = buffer()
    rb.extend(rows(4, y=torch.zeros(4, 3)))
    wrong = [
        ({"x": torch.full((4,), 9), "y": torch.zeros(4, 7)}, ShapeError, r"expected \[4, 3\]"),
        ({"x": torch.full((4,), 9), "z": torch.zeros(4)}, MissingKeyError, "`z` is not in"),
        ({"y": torch.ones(4, 3), "x": torch.full((4,), 9.7)}, SpecError, "it cannot hold"),
    ]
    for patch, error, message in wrong:
        with pytest.raises(error, match=message):
            rb.update_(TensorDict(patch, [4]))
        assert rb[:]["x"].tolist() == [0, 1, 2, 3]
        assert rb[:]["y"].eq(0).all()
    of_lists = buffer(storage=ListStorage(9))
    of_lists.extend(rows(2))
    with pytest.raises(SpecError, match="Use a tensor storage"):
        of_lists.set_("x", torch.zeros(2))


def test_a_conditional_update_is_heard():
    rb = buffer(
        sampler=SliceSampler(slice_len=4, end_key="done"),
        writer=TensorDictRoundRobinWriter(track_generations=True),
    )
    done = torch.zeros(8, 1, dtype=torch.bool)
    done[3] = done[7] = True
    rb.extend(rows(8, done=done))
    rb.sample()
    index = torch.tensor([3, 1, 5])
    patch = {"done": torch.tensor([[False], [True], [True]])}
    rb.update_if_present(index=index, generation=rb.writer.generations_of(index), patch=patch)
    assert {tuple(rb.sample()["x"].tolist()) for _ in range(30)} == {(2, 3, 4, 5)}


def test_a_row_that_was_overwritten_has_its_new_rank():
    rb = buffer(size=3, writer=TensorDictMaxValueWriter("x"))
    rb.extend(rows(3, start=1))
    rb[0] = TensorDict({"x": torch.tensor(100)})
    rb.extend(rows(1, start=50))
    assert rb[:]["x"].tolist() == [100, 50, 3]
    rb.set_("x", torch.tensor([1, 2, 3]))
    rb.extend(rows(1, start=9))
    assert rb[:]["x"].tolist() == [9, 2, 3]


def test_groups_that_were_overwritten():
    rb = buffer(sampler=PromptGroupSampler(num_groups=1, group_key="g"), batch_size=2)
    rb.extend(rows(4, g=torch.tensor([0, 0, 1, 1])))
    rb.sample()
    rb.set_("g", torch.tensor([0, 1, 0, 1]))
    assert {tuple(sorted(rb.sample()["x"].tolist())) for _ in range(40)} == {(0, 2), (1, 3)}


def test_a_row_is_overwritten_with_its_priority():
    rb = TensorDictPrioritizedReplayBuffer(
        alpha=1.0, beta=1.0, storage=LazyTensorStorage(10), batch_size=400
    )
    rb.extend(rows(10, td_error=torch.ones(10)))
    rb[3] = TensorDict({"x": torch.tensor(3), "td_error": torch.tensor(1e6)})
    assert rb.sample()["x"].eq(3).float().mean() > 0.95
    rb[5:7] = rows(2, start=5, td_error=torch.tensor([1e12, 1.0]))
    assert rb.sample()["x"].eq(5).float().mean() > 0.95


# ------------------------------------------------------------------ ensembles


def test_an_ensemble_has_the_parts_that_its_members_have():
    a, b = buffer(), buffer()
    both = ReplayBufferEnsemble(a, b, sample_from_all=True, batch_size=6)
    a.extend(rows(3))
    b.extend(rows(3))
    a.set_storage(LazyTensorStorage(9))
    a.extend(rows(3, start=100))
    b.set_sampler(SamplerWithoutReplacement(drop_last=False))
    assert both.sample()["x"][0].min() >= 100
    assert both.storage.storages == (a.storage, b.storage)
    assert both.sampler.samplers == (a.sampler, b.sampler)


def test_members_forget_batches_that_a_load_replaced(tmp_path):
    a, b = buffer(batch_size=2, prefetch=3), buffer(batch_size=2, prefetch=3)
    both = ReplayBufferEnsemble(a, b, sample_from_all=True, batch_size=4)
    for member in (a, b):
        member.extend(rows(3, start=100))
    both.dumps(tmp_path)
    a.empty()
    a.extend(rows(3))
    for _ in range(6):
        a.sample()
    both.loads(tmp_path)
    assert all(a.sample()["x"].min() >= 100 for _ in range(6))
    a.shutdown()
    b.shutdown()


def test_a_part_of_an_ensemble_keeps_its_weights():
    members = [buffer() for _ in range(3)]
    part = ReplayBufferEnsemble(*members, p=[0.6, 0.2, 0.2], batch_size=4)[:2]
    assert part.sampler.p.tolist() == pytest.approx([0.75, 0.25])
    every = ReplayBufferEnsemble(*members, sample_from_all=True, batch_size=4)[1:]
    assert every.sampler.sample_from_all
    assert ReplayBufferEnsemble(*members, p="sampleable", batch_size=4)[1:].sampler.p == (
        "sampleable"
    )


# ------------------------------------------------------------------ the rest


def test_threads_that_use_a_late_buffer_first():
    def storage():
        time.sleep(0.2)
        return LazyTensorStorage(100)

    rb = buffer(storage=storage, delayed_init=True)
    failed = []

    def write():
        try:
            rb.extend(rows(3))
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert len(rb) == 9


def test_a_late_buffer_whose_parts_fail_can_be_tried_again():
    tries = []

    def storage():
        tries.append(1)
        if len(tries) == 1:
            raise OSError("no room")
        return LazyTensorStorage(9)

    rb = buffer(storage=storage, delayed_init=True)
    with pytest.raises(OSError, match="no room"):
        rb.extend(rows(3))
    rb.extend(rows(3))
    assert len(rb) == 3


def test_columns_are_no_items_of_a_list():
    rb = ReplayBuffer(storage=ListStorage(10))
    with pytest.raises(TypeError, match="need a `LazyTensorStorage`"):
        rb.extend({"x": torch.arange(3)})
    rb.add({"x": 1})
    assert rb.storage[:] == [{"x": 1}]


def test_tensorclasses_need_room_for_what_the_buffer_tells():
    @tensorclass
    class Step:
        x: torch.Tensor

    rb = buffer()
    with pytest.raises(TypeError, match="use `ReplayBuffer`"):
        rb.extend(Step(x=torch.arange(3), batch_size=[3]))
    assert len(rb) == 0

    @tensorclass
    class Told:
        x: torch.Tensor
        index: torch.Tensor | None = None

    rb.extend(Told(x=torch.arange(3), batch_size=[3]))
    batch = rb.sample()
    assert torch.equal(batch.x, batch.index)
