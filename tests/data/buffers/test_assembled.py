import copy
import multiprocessing

import torch

from rl.data import (
    LazyMemmapStorage,
    LazyTensorStorage,
    ReplayBuffer,
)


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
