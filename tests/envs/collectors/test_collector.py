"""`Collector` finds the backend that does the work."""

from __future__ import annotations

import pytest
import torch

from rl.core import MissingDependencyError, NotRegisteredError, Registry
from rl.envs import Collector, SingleCollector
from rl.envs.collectors import collector as module
from rl.envs.testing import CountingEnv


def test_the_default_works_in_this_process():
    collector = Collector(CountingEnv(3), frames_per_batch=4, total_frames=8)
    assert isinstance(collector.engine, SingleCollector)
    assert [batch.shape for batch in collector] == [torch.Size([4])] * 2
    assert collector.frames == 8
    assert isinstance(collector.env, CountingEnv)


def test_state_and_seed_are_the_engines():
    collector = Collector(CountingEnv(3), frames_per_batch=4)
    assert collector.set_seed(0) == 795726461
    collector.next()
    other = Collector(CountingEnv(3), frames_per_batch=4)
    other.load_state_dict(collector.state_dict())
    assert other.next()["observation"][0].item() == 1


def test_registered_backends_are_found(monkeypatch):
    registry = Registry("rl.collectors.test")
    monkeypatch.setattr(module, "BACKENDS", registry)
    with registry.registered("mine", SingleCollector):
        collector = Collector(
            CountingEnv, backend="mine", frames_per_batch=2, backend_options={"set_truncated": True}
        )
    assert collector.next()["next", "truncated"].flatten().tolist() == [False, True]


def test_a_wheel_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr(module, "BACKENDS", Registry("rl.collectors.empty"))
    with pytest.raises(MissingDependencyError, match=r'pip install "rl-distributed\[ray\]"'):
        Collector(CountingEnv, backend="ray", frames_per_batch=2)


def test_an_unknown_backend_is_no_wheel_of_ours():
    with pytest.raises(NotRegisteredError, match="rayy"):
        Collector(CountingEnv, backend="rayy", frames_per_batch=2)
