"""Calls of several actors: order, bounded waits, and who ends Ray."""

from __future__ import annotations

import time

import pytest
import ray

from rl.core import RLError, WorkerError
from rl.distributed.ray.pool import ActorPool


def sleeper() -> type:
    """Return a class that Ray sends by value, so that actors start without importing torch."""

    class Sleeper:
        def __init__(self, wait_s):
            self.wait_s = wait_s

        def answer(self, value=None):
            time.sleep(self.wait_s)
            return self.wait_s, value

        def shutdown(self):
            """Nothing to close."""

    return Sleeper


@pytest.fixture(scope="module")
def pool():
    pool = ActorPool(sleeper(), [(0.5,), (0.0,)], timeout_s=60.0)
    pool.call_all("answer")
    yield pool
    pool.shutdown()


def test_results_come_in_the_actors_order(pool):
    assert pool.call_all("answer", 7) == [(0.5, 7), (0.0, 7)]
    assert pool.call_each("answer", {1: (1,), 0: (2,)}) == [(0.0, 1), (0.5, 2)]
    assert pool.call_each("answer", {1: (1,)}) == [(0.0, 1)]
    assert pool.call(1, "answer", 3) == (0.0, 3)


def test_what_was_put_is_read_by_all(pool):
    reference = pool.put([1, 2])
    assert pool.get(reference) == [1, 2]
    assert pool.call_all("answer", reference) == [(0.5, [1, 2]), (0.0, [1, 2])]


def test_the_first_to_answer_is_popped(pool):
    pending = {pool.submit(index, "answer"): index for index in range(2)}
    assert pool.pop_first(pending, "answer") == (1, (0.0, None))
    assert list(pending.values()) == [0]


def test_all_waits_of_a_call_share_one_deadline(pool, monkeypatch):
    monkeypatch.setattr(pool, "timeout_s", 0.05)
    with pytest.raises(WorkerError, match=r"Worker 0 of 2 stopped in `answer`: no answer"):
        pool.call_all("answer")


def test_a_lack_of_cpus_is_told():
    pool = ActorPool(sleeper(), [(0.0,)], timeout_s=0.5, actor_options={"num_cpus": 1000})
    with pytest.raises(
        WorkerError, match=r'CPUs left .* not started: `ray_init_config={"num_cpus"'
    ):
        pool.call_all("answer")
    pool.shutdown()
    with pytest.raises(RLError, match="shut down"):
        pool.call_all("answer")
    assert ray.is_initialized(), "a Ray of others goes on"
