"""What a worker does, without Ray."""

from __future__ import annotations

import os
from functools import partial

import pytest
import torch
from tensordict.nn import TensorDictModule
from torch import nn

from rl.core import WeightsError, versioned_weights
from rl.distributed.ray.worker import CollectorWorker
from rl.envs.testing import CountingEnv


@pytest.fixture(autouse=True)
def _threads():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def worker() -> CollectorWorker:
    policy = TensorDictModule(nn.Linear(1, 2), in_keys=["observation"], out_keys=["logits"])
    act = TensorDictModule(
        lambda logits: nn.functional.one_hot(logits.argmax(-1), 2), ["logits"], ["action"]
    )
    policy = nn.Sequential(policy, act)
    return CollectorWorker(partial(CountingEnv, 3), policy, None, {"frames_per_batch": 4})


def test_batches_are_stamped():
    one = CollectorWorker(partial(CountingEnv, 3), None, None, {"frames_per_batch": 4})
    assert one.next()["collector", "policy_version"].tolist() == [0] * 4
    assert one.pid() == os.getpid()
    one.shutdown()


def test_stale_weights_raise():
    one = worker()
    weights = versioned_weights(one.collector.policy, 2)
    assert one.load_weights(weights) == 2
    with pytest.raises(WeightsError):
        one.load_weights(versioned_weights(one.collector.policy, 1))


def test_state_round_trip():
    one = CollectorWorker(partial(CountingEnv, 3), None, None, {"frames_per_batch": 4})
    one.set_seed(1)
    one.next()
    state = one.state_dict()
    expected = one.next()["action"]
    other = CollectorWorker(partial(CountingEnv, 3), None, None, {"frames_per_batch": 4})
    other.load_state_dict(state)
    assert torch.equal(other.next()["action"], expected)
