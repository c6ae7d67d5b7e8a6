"""Collectors whose policies are sent their weights, in one process and in several."""

import copy
import multiprocessing

import pytest
import torch
from tensordict.nn import TensorDictModule
from torch import nn

from rl.core import (
    MultiProcessWeightSyncScheme,
    NoWeightSyncScheme,
    RLError,
    SharedMemWeightSyncScheme,
    WeightsError,
    WorkerError,
)
from rl.envs.collectors import Collector, SingleCollector
from rl.envs.testing import CountingEnv

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["rl.envs"])
KINDS = [SharedMemWeightSyncScheme, MultiProcessWeightSyncScheme]
VERSION = ("collector", "policy_version")


class Constant(nn.Module):
    """Acts with the number that is its weight."""

    def __init__(self, value=0.0):
        super().__init__()
        self.value = nn.Parameter(torch.tensor(float(value)))

    def forward(self, observation):
        action = torch.cat([observation == observation, observation != observation], -1)
        return action, self.value.expand_as(observation)


def policy(value=0.0):
    return TensorDictModule(Constant(value), ["observation"], ["action", "value"])


def assign(module, value):
    with torch.no_grad():
        module.module.value.fill_(value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_scheme_in_one_process(kind):
    trained = policy(1.0)
    schemes = {"policy": kind(timeout_s=10.0)}
    collector = Collector(CountingEnv(), trained, frames_per_batch=3, weight_sync_schemes=schemes)
    batch = collector.next()
    assert batch[VERSION].tolist() == [0, 0, 0]
    assign(trained, 2.0)
    collector.update_policy_weights_()
    batch = collector.next()
    assert batch[VERSION].tolist() == [1, 1, 1]
    assert batch["value"].unique().tolist() == [2]
    other = policy(3.0)
    for form in (other, other.state_dict()):
        collector.update_policy_weights_(form)
    assert collector.next()["value"].unique().tolist() == [3]
    assert trained.module.value == 3
    with pytest.raises(WeightsError, match="partial"):
        collector.update_policy_weights_({})
    collector.shutdown()
    collector.shutdown()


def test_no_sync_and_other_models():
    collector = SingleCollector(
        CountingEnv(),
        policy(),
        frames_per_batch=3,
        weight_sync_schemes={"policy": NoWeightSyncScheme()},
    )
    collector.update_policy_weights_()
    assert VERSION not in collector.next().keys(True)
    with pytest.raises(RLError, match="is received with `weight_recv_schemes`"):
        SingleCollector(
            CountingEnv(),
            policy(),
            frames_per_batch=3,
            weight_sync_schemes={"env.net": SharedMemWeightSyncScheme()},
        )


def collect(scheme, index, pipe):
    torch.set_num_threads(1)
    collector = SingleCollector(
        CountingEnv(),
        policy(-1.0),
        frames_per_batch=4,
        weight_recv_schemes={"policy": scheme},
        worker_idx=index,
    )
    try:
        while pipe.recv() == "next":
            batch = collector.next()
            pipe.send((batch["value"].unique().tolist(), batch[VERSION].unique().tolist()))
    except Exception as error:
        pipe.send(f"{type(error).__name__}: {error}")


@pytest.mark.parametrize("kind", KINDS)
def test_collectors_in_processes_load_before_each_batch(kind):
    trained = policy(1.0)
    scheme = kind(timeout_s=60.0)
    scheme.init_on_sender(model=trained, num_workers=2, ctx=CONTEXT)
    pipes, processes = [], []
    for index in range(2):
        ours, theirs = CONTEXT.Pipe()
        process = CONTEXT.Process(target=collect, args=(scheme, index, theirs), daemon=True)
        process.start()
        pipes.append(ours)
        processes.append(process)
    scheme.connect()

    def gather():
        for pipe in pipes:
            pipe.send("next")
        assert all(pipe.poll(30) for pipe in pipes)
        return [pipe.recv() for pipe in pipes]

    assert gather() == [([1], [0])] * 2
    for version in (1, 2, 3):
        assign(trained, 10.0 * version)
        scheme.send_async()
        assert gather() == [([10 * version], [version])] * 2
        scheme.wait_async()
    scheme.send_async(copy.deepcopy(trained), worker_ids=1)
    assert [version for _, version in gather()] == [[3], [4]]
    scheme.shutdown()
    assert all("WorkerError: The sender has ended its work" in text for text in gather())
    for process in processes:
        process.join(10)
        assert process.exitcode == 0


def test_a_collector_whose_sender_is_gone_raises():
    scheme = SharedMemWeightSyncScheme(timeout_s=5.0)
    scheme.init_on_sender(model=policy(), num_workers=1)
    collector = SingleCollector(
        CountingEnv(),
        policy(),
        frames_per_batch=4,
        weight_recv_schemes={"policy": scheme.receiver()},
        worker_idx=0,
    )
    collector.next()
    scheme.shutdown()
    with pytest.raises(WorkerError, match="No weights will come after version 0"):
        collector.next()
