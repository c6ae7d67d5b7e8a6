"""Buffers that are built late, and what they tell of themselves."""

import copy
import multiprocessing
import pickle

import pytest
import torch
from tensordict import TensorDict

from rl.data import (
    LazyMemmapStorage,
    LazyTensorStorage,
    ReplayBuffer,
    TensorDictReplayBuffer,
)


class Counted:
    made = 0

    def __call__(self):
        Counted.made += 1
        return LazyTensorStorage(10)


def double(td):
    return td.set("y", td["x"] * 2)


def make_transform():
    return double


def test_a_buffer_is_built_at_its_first_use():
    Counted.made = 0
    rb = TensorDictReplayBuffer(storage=Counted(), batch_size=2, delayed_init=True)
    assert repr(rb) == "TensorDictReplayBuffer(not built yet)"
    assert rb.stats() == {"initialized": False}
    assert rb.batch_size == 2
    assert Counted.made == 0
    rb.extend(TensorDict({"x": torch.arange(3)}, [3]))
    assert (len(rb), Counted.made) == (3, 1)
    assert rb.stats()["initialized"]


def test_a_transform_factory_delays_and_the_recipe_is_sent():
    rb = ReplayBuffer(storage=Counted(), batch_size=2, transform_factory=make_transform)
    for sent in (pickle.loads(pickle.dumps(rb)), copy.deepcopy(rb), rb):
        assert not sent.stats()["initialized"]
        sent.extend(TensorDict({"x": torch.ones(3)}, [3]))
        assert sent.sample()["y"].tolist() == [2.0, 2.0]
    with pytest.raises(AttributeError, match="extand"):
        rb.extand  # noqa: B018


def test_stats():
    rb = ReplayBuffer(storage=LazyTensorStorage(10), batch_size=2, prefetch=2)
    rb.extend(torch.arange(5))
    for _ in range(4):
        rb.sample()
    assert rb.stats() == {
        "size": 5,
        "write_count": 5,
        "prefetch_queue_size": 2,
        "initialized": True,
        "capacity": 10,
        "utilization": 0.5,
    }
    rb.shutdown()


def test_share_later():
    rb = ReplayBuffer(storage=LazyMemmapStorage(10), batch_size=2)
    rb.extend(torch.arange(5))
    assert not rb.shared
    assert rb.share().shared
    assert rb.share() is rb
    context = multiprocessing.get_context("fork")
    worker = context.Process(target=rb.extend, args=(torch.arange(2),))
    worker.start()
    worker.join(60)
    assert (worker.exitcode, len(rb)) == (0, 7)
    other = copy.deepcopy(rb)
    other.extend(torch.arange(3))
    assert (len(other), len(rb)) == (10, 7)
