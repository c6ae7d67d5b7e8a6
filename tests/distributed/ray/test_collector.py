"""Batches, weights, failures and resume of the Ray collector, on a real local Ray."""

from __future__ import annotations

import os
import signal
import time
from functools import partial

import pytest
import torch
from tensordict.nn import TensorDictModule
from torch import nn

from rl.core import OneHotCategorical, ProbabilisticActor, RLError, WorkerError
from rl.distributed import RayCollector
from rl.envs.testing import CountingEnv

# Ray leaves sockets and files of its own to the garbage collector
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

MAKE = partial(CountingEnv, 3, batch_size=(2,))


def actor() -> ProbabilisticActor:
    torch.manual_seed(0)
    module = TensorDictModule(nn.Linear(1, 2), in_keys=["observation"], out_keys=["logits"])
    return ProbabilisticActor(
        module, in_keys=["logits"], distribution_class=OneHotCategorical, return_log_prob=True
    )


@pytest.fixture
def collect():
    built = []

    def build(*args, **kwargs):
        built.append(RayCollector(*args, **{"timeout_s": 60.0, **kwargs}))
        return built[-1]

    yield build
    for collector in built:
        collector.shutdown()


class FailingEnv(CountingEnv):
    """Raises at its third step."""

    def _step(self, tensordict):
        if self.count.max() >= 2:
            raise ZeroDivisionError("counted too far")
        return super()._step(tensordict)


class SlowEnv(CountingEnv):
    """Never returns from its second step."""

    def _step(self, tensordict):
        if self.count.max() >= 1:
            time.sleep(60)
        return super()._step(tensordict)


def test_synchronous_workers_share_a_batch(collect):
    collector = collect(MAKE, actor(), frames_per_batch=16, total_frames=32)
    first, second = collector
    assert first.shape == torch.Size([4, 4])
    assert first.names == [None, "time"]
    assert first["observation"][:, :, 0].tolist() == [[0, 1, 2, 0]] * 4
    assert second["observation"][:, :, 0].tolist() == [[1, 2, 0, 1]] * 4
    ids = first["collector", "traj_ids"]
    assert len(ids.unique()) == 8
    assert collector.is_exhausted


def test_unbatched_envs_are_stacked(collect):
    collector = collect(partial(CountingEnv, 3), frames_per_batch=8)
    assert collector.next().shape == torch.Size([2, 4])


def test_asynchronous_workers_deliver_one_by_one(collect):
    collector = collect(MAKE, frames_per_batch=8, sync=False, total_frames=40)
    batches = list(collector)
    assert [batch.shape for batch in batches] == [torch.Size([2, 4])] * 5
    with pytest.raises(RLError, match="sync=True"):
        collector.state_dict()


def test_weights_are_confirmed_and_batches_stamped(collect):
    policy = actor()
    collector = collect(MAKE, policy, frames_per_batch=64)
    assert (collector.next()["collector", "policy_version"] == 0).all()
    with torch.no_grad():
        policy[0].module.bias.copy_(torch.tensor([50.0, -50.0]))
    collector.update_policy_weights_()
    batch = collector.next()
    assert (batch["collector", "policy_version"] == 1).all()
    assert (batch["action"][..., 0] == 1).all()


def test_weights_that_do_not_fit_raise(collect):
    collector = collect(MAKE, actor(), frames_per_batch=8)
    with pytest.raises(WorkerError, match=r"Worker 0 of 2 stopped in `load_weights`"):
        collector.update_policy_weights_({"weight": torch.ones(2)})


def test_an_error_comes_with_index_and_traceback(collect):
    collector = collect([MAKE, FailingEnv], frames_per_batch=16)
    with pytest.raises(
        WorkerError, match=r"Worker 1 of 2 stopped in `next`: ZeroDivision"
    ) as error:
        collector.next()
    assert "counted too far" in str(error.value)
    assert "in _step" in str(error.value)


def test_a_killed_worker_is_an_error_within_seconds(collect):
    collector = collect(MAKE, frames_per_batch=16)
    os.kill(collector.pids[1], signal.SIGKILL)
    start = time.monotonic()
    with pytest.raises(WorkerError, match=r"Worker 1 of 2 .*its process is gone"):
        [collector.next() for _ in range(3)]
    assert time.monotonic() - start < 10


def test_a_silent_worker_is_an_error(collect):
    collector = collect([MAKE, SlowEnv], frames_per_batch=16)
    collector.timeout_s = 3.0  # starting a worker may take longer
    with pytest.raises(WorkerError, match=r"no answer within 3\.0 s"):
        collector.next()


def test_seeds_differ_and_give_equal_runs(collect):
    runs = []
    for _ in range(2):
        collector = collect(MAKE, frames_per_batch=64)
        collector.set_seed(5)
        runs.append(collector.next()["action"])
    assert torch.equal(*runs)
    assert not torch.equal(runs[0][:2], runs[0][2:])


def test_resume_is_exact(collect):
    policy = actor()
    whole = collect(MAKE, policy, frames_per_batch=16)
    whole.set_seed(0)
    whole.next()
    state = whole.state_dict()
    expected = whole.next()
    resumed = collect(MAKE, policy, frames_per_batch=16)
    resumed.load_state_dict(state)
    batch = resumed.next()
    assert resumed.frames == 32
    for key in expected.exclude(("collector", "policy_version")).keys(True, True):
        assert torch.equal(batch[key], expected[key]), key
    whole.shutdown()
    with pytest.raises(RLError, match="num_collectors=2"):
        collect(MAKE, policy, frames_per_batch=16, num_collectors=1).load_state_dict(state)


def test_a_buffer_takes_the_transitions(collect):
    class Sink:
        def __init__(self):
            self.rows = 0

        def extend(self, data):
            self.rows += data.shape[0]

    sink = Sink()
    collector = collect(MAKE, frames_per_batch=16, total_frames=32, replay_buffer=sink)
    assert list(collector) == [None, None]
    assert sink.rows == 32


def test_bad_counts_raise():
    with pytest.raises(RLError, match="pass a multiple"):
        RayCollector(MAKE, frames_per_batch=15)
    with pytest.raises(RLError, match="one per worker"):
        RayCollector([MAKE], frames_per_batch=16)
    with pytest.raises(RLError, match="expected 1 or more"):
        RayCollector(MAKE, frames_per_batch=16, num_collectors=0)


def test_a_collector_that_was_shut_down_says_so(collect):
    collector = collect(MAKE, frames_per_batch=16)
    collector.shutdown()
    collector.shutdown()
    with pytest.raises(RLError, match="shut down"):
        collector.next()
