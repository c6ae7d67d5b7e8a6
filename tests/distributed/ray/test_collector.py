"""Batches, weights, failures and resume of the Ray collector, on a real local Ray."""

from __future__ import annotations

import copy
import os
import signal
import threading
import time
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from tensordict import TensorDict
from tensordict.nn import TensorDictModule
from torch import nn

from rl.core import (
    MissingDependencyError,
    OneHotCategorical,
    ProbabilisticActor,
    RLError,
    WorkerError,
    optional,
    seed_generator,
)
from rl.distributed import RayCollector
from rl.distributed.ray import pool
from rl.envs import Collector
from rl.envs.testing import CountingEnv

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
    """Waits at each of its steps."""

    def __init__(self, *args, wait_s, **kwargs):
        super().__init__(*args, **kwargs)
        self.wait_s = wait_s

    def _step(self, tensordict):
        time.sleep(self.wait_s)
        return super()._step(tensordict)


MAKE_SLOW = partial(SlowEnv, 3, batch_size=(2,), wait_s=0.2)
STUCK = partial(SlowEnv, 3, batch_size=(2,), wait_s=60.0)


@pytest.fixture(scope="module")
def shared():
    """Two workers that several tests use; starting workers takes seconds."""
    policy = actor()
    collector = RayCollector(MAKE, policy, frames_per_batch=16, timeout_s=60.0)
    yield collector, collector.state_dict(), copy.deepcopy(policy.state_dict())
    collector.shutdown()


@pytest.fixture
def sync(shared):
    """The shared collector as it was new."""
    collector, state, weights = shared
    collector.policy.load_state_dict(weights)
    collector.load_state_dict(state)
    return collector


def test_synchronous_workers_share_a_batch(sync):
    first, second = sync.next(), sync.next()
    assert first.shape == torch.Size([4, 4])
    assert first.names == second.names == [None, "time"]
    assert first["observation"][:, :, 0].tolist() == [[0, 1, 2, 0]] * 4
    assert second["observation"][:, :, 0].tolist() == [[1, 2, 0, 1]] * 4
    # two trajectories of each of the four envs, of which one goes on in the second batch
    assert len(first["collector", "traj_ids"].unique()) == 8
    both = torch.cat([first, second], 1)["collector", "traj_ids"]
    assert len(both.unique()) == 12
    assert torch.equal(both[:, 3], both[:, 4])
    assert sync.frames == 32
    assert repr(sync) == "RayCollector(num_collectors=2, sync=True)"


def test_workers_that_nobody_seeded_differ(sync):
    actions = torch.cat([sync.next()["action"] for _ in range(4)], 1)
    assert not torch.equal(actions[:2], actions[2:])


def test_weights_are_confirmed_and_batches_stamped(sync):
    assert sync.next()["collector", "policy_version"].tolist() == [[0] * 4] * 4
    with torch.no_grad():
        sync.policy[0].module.bias.copy_(torch.tensor([50.0, -50.0]))
    sync.update_policy_weights_()
    batch = sync.next()
    assert batch["collector", "policy_version"].dtype == torch.int64
    assert (batch["collector", "policy_version"] == 1).all()
    assert (batch["action"][..., 0] == 1).all()
    other = {name: -value for name, value in sync.policy.state_dict().items()}
    for given in (other, TensorDict(other).unflatten_keys(".")):
        sync.update_policy_weights_(given)
        assert (sync.next()["action"][..., 1] == 1).all()
    assert sync.version == 3


def test_weights_that_do_not_fit_raise(sync):
    with pytest.raises(
        WorkerError, match=r"Worker [01] of 2 stopped in `load_weights`: WeightsError"
    ):
        sync.update_policy_weights_({"weight": torch.ones(2)})
    assert (sync.next()["collector", "policy_version"] == 0).all()


def test_seeds_differ_and_give_equal_runs(shared, sync):
    runs = []
    for _ in range(2):
        sync.load_state_dict(shared[1])
        # the second worker goes on where the first ended
        assert sync.set_seed(5) not in (5, seed_generator(5))
        runs.append(torch.cat([sync.next()["action"] for _ in range(4)], 1))
    assert torch.equal(*runs)
    assert not torch.equal(runs[0][:2], runs[0][2:])


def test_resume_is_exact_in_new_workers(sync, collect):
    state_before = sync.state_dict()
    sync.set_seed(0)
    sync.next()
    with torch.no_grad():
        sync.policy[0].module.bias.add_(1.0)
    sync.update_policy_weights_()
    sync.next()
    with torch.no_grad():  # trained on, not sent
        sync.policy[0].module.bias.add_(torch.tensor([50.0, -50.0]))
    state = sync.state_dict()
    expected = [sync.next(), sync.next()]
    resumed = collect(MAKE, actor(), frames_per_batch=16)
    resumed.load_state_dict(state)
    for batch in expected:
        again = resumed.next()
        assert set(again.keys(True, True)) == set(batch.keys(True, True))
        for key in batch.keys(True, True):
            assert torch.equal(again[key], batch[key]), key
    assert resumed.frames == sync.frames == 64
    assert (again["collector", "policy_version"] == 1).all()
    one = {**state_before, "workers": {"0": state_before["workers"]["0"]}}
    with pytest.raises(RLError, match="num_collectors=1"):
        resumed.load_state_dict(one)


def test_a_buffer_takes_the_transitions(collect):
    class Sink:
        def __init__(self, ndim):
            self.storage = SimpleNamespace(ndim=ndim)
            self.shapes = []

        def extend(self, data):
            self.shapes.append(tuple(data.shape))

    sink = Sink(ndim=2)
    collector = collect(
        partial(CountingEnv, 3),
        frames_per_batch=4,
        total_frames=12,
        num_collectors=1,
        replay_buffer=sink,
    )
    assert len(collector) == 3
    assert [collector.next(), collector.next()] == [None, None]
    assert sink.shapes == [(1, 4), (1, 4)]
    flat = collector.replay_buffer = Sink(ndim=1)
    assert list(collector) == [None]
    assert flat.shapes == [(4,)]
    assert collector.is_exhausted


def test_what_is_done_to_delivered_batches(collect):
    with pytest.warns(UserWarning, match="each batch holds 8"):
        collector = collect(
            MAKE,
            frames_per_batch=7,
            num_collectors=1,
            device="cpu",
            max_frames_per_traj=2,
            split_trajs=True,
            postproc=lambda batch: batch.set("seen", torch.ones(batch.shape)),
        )
    batch = collector.next()
    assert collector.frames_per_batch == collector.frames == 8
    assert batch.shape == torch.Size([4, 2])
    assert batch["collector", "mask"].all()
    assert batch["next", "truncated"][:, -1].all()
    assert batch["seen"].all()
    assert batch.device == torch.device("cpu")
    collector.shutdown()
    collector.shutdown()
    assert collector.closed
    with pytest.raises(RLError, match="shut down"):
        collector.next()


def test_weights_are_sent_as_often_as_asked(collect):
    policy = actor()
    collector = collect(
        MAKE, policy, frames_per_batch=8, num_collectors=1, max_weight_update_interval=2
    )
    versions = []
    for _ in range(5):
        versions.append(collector.next()["collector", "policy_version"].unique().item())
    assert versions == [0, 0, 1, 1, 2]
    with torch.no_grad():
        policy[0].module.bias.copy_(torch.tensor([50.0, -50.0]))
    state = collector.state_dict()
    assert not (collector.next()["action"][..., 0] == 1).all()
    assert (collector.next()["action"][..., 0] == 1).all()
    collector.load_state_dict(state)
    assert (collector.next()["collector", "policy_version"] == 2).all()
    assert (collector.next()["collector", "policy_version"] == 3).all()


def test_a_factory_makes_one_policy_for_all(collect):
    def drawn():
        policy = actor()
        with torch.no_grad():  # another one in each process
            policy[0].module.bias.fill_(os.getpid())
        return policy

    collector = collect(MAKE, policy_factory=drawn, frames_per_batch=8)
    first, second = collector.next()["logits"].split(2)
    assert torch.equal(first, second)
    with pytest.raises(RLError, match=r"update_policy_weights_\(policy\)"):
        collector.update_policy_weights_()
    policy = drawn()
    collector.update_policy_weights_(policy)
    weights = collector.state_dict()["weights"]
    assert weights.keys() == policy.state_dict().keys()
    assert all(torch.equal(weights[k], v) for k, v in policy.state_dict().items())
    assert (collector.next()["collector", "policy_version"] == 1).all()


def test_asynchronous_workers_deliver_one_by_one(collect):
    policy = actor()
    collector = collect([MAKE, MAKE_SLOW], policy, frames_per_batch=8, sync=False, total_frames=64)
    batches = []
    for batch in collector:
        batches.append(batch)
        if len(batches) == 4:
            collector.update_policy_weights_()
    assert [batch.shape for batch in batches] == [torch.Size([2, 4])] * 8
    workers = [int(batch["collector", "traj_ids"][0, 0]) % 2 for batch in batches]
    assert workers.count(0) > workers.count(1)
    versions = [batch["collector", "policy_version"].unique().item() for batch in batches]
    assert versions[:4] == [0] * 4
    # what was under way at the update is of the old version, what came after of the new one
    assert versions[4:].count(0) <= 2
    assert 1 in versions[4:]
    for refused in (collector.state_dict, partial(collector.load_state_dict, {})):
        with pytest.raises(RLError, match="sync=True"):
            refused()


def test_an_asynchronous_worker_gets_weights_before_its_next_batch(collect):
    collector = collect(
        [MAKE, STUCK], actor(), frames_per_batch=8, sync=False, update_after_each_batch=True
    )
    # the stuck worker is sent none: it would not confirm them
    versions = [collector.next()["collector", "policy_version"] for _ in range(4)]
    assert [version.unique().tolist() for version in versions] == [[0], [1], [2], [3]]
    collector.workers.timeout_s = 1.0


def test_a_worker_that_raises_is_an_error_though_another_is_stuck(collect):
    collector = collect([STUCK, FailingEnv], frames_per_batch=16)
    with pytest.raises(
        WorkerError, match=r"Worker 1 of 2 stopped in `next`: ZeroDivision"
    ) as error:
        collector.next()
    assert "counted too far" in str(error.value)
    assert "in _step" in str(error.value)
    collector.workers.timeout_s = 1.0  # of waiting for the stuck one to close


def test_a_killed_worker_is_an_error_within_seconds(collect):
    collector = collect(STUCK, frames_per_batch=16)
    kill = threading.Timer(0.5, os.kill, (collector.pids[1], signal.SIGKILL))
    kill.start()
    start = time.monotonic()
    with pytest.raises(WorkerError, match=r"Worker 1 of 2 stopped in `next`: its process is gone"):
        collector.next()
    assert time.monotonic() - start < 10
    kill.join()
    collector.workers.timeout_s = 1.0


def test_lost_batches_leave_no_gap(shared, sync, monkeypatch):
    expected = sync.next()
    with monkeypatch.context() as patch:
        patch.setattr(sync.workers, "timeout_s", 0.0)
        with pytest.raises(WorkerError, match="no answer within"):
            sync.next()
    for refused in (sync.next, sync.state_dict):
        with pytest.raises(WorkerError, match="Go on from the last `state_dict`"):
            refused()
    sync.load_state_dict(shared[1])
    assert torch.equal(sync.next()["action"], expected["action"])


def test_an_env_that_cannot_be_made_is_an_error():
    def broken():
        raise ZeroDivisionError("no env")

    with pytest.raises(WorkerError, match=r"Worker 0 of 1 stopped in `pid`(.|\n)*no env"):
        RayCollector(broken, frames_per_batch=8, num_collectors=1, timeout_s=60.0)


def test_collector_finds_this_backend():
    options = {"num_collectors": 1, "timeout_s": 60.0}
    with Collector(MAKE, backend="ray", backend_options=options, frames_per_batch=8) as collector:
        assert isinstance(collector.engine, RayCollector)
        assert collector.next().shape == torch.Size([2, 4])
    assert collector.closed


def test_without_ray_the_extra_is_named(monkeypatch):
    missing = optional("ray_that_is_not_installed", extra="rl-distributed[ray]")
    monkeypatch.setattr(pool, "ray", missing)
    with pytest.raises(MissingDependencyError, match=r'pip install "rl-distributed\[ray\]"'):
        RayCollector(MAKE, frames_per_batch=8)


def test_bad_arguments_raise():
    with pytest.raises(RLError, match="pass a multiple"):
        RayCollector(MAKE, frames_per_batch=15)
    with pytest.raises(RLError, match="one per worker"):
        RayCollector([MAKE], frames_per_batch=16)
    with pytest.raises(RLError, match="expected 1 or more"):
        RayCollector(MAKE, frames_per_batch=16, num_collectors=0)
    with pytest.raises(RLError, match="pass `split_trajs` to `RayCollector`"):
        RayCollector(MAKE, frames_per_batch=16, collector_kwargs={"split_trajs": True})
    with pytest.raises(RLError, match=r"call `update_policy_weights_\(policy\)`"):
        RayCollector(MAKE, policy_factory=actor, frames_per_batch=16, update_after_each_batch=True)
