import pytest
import torch
from torch import nn

from rl.objectives import DQNLoss, HardUpdate
from rl.objectives.trainers import ClearCudaCache, TargetNetUpdaterHook, UpdateWeights


class Collector:
    def __init__(self):
        self.got = []

    def update_policy_weights_(self, weights=None):
        self.got.append(weights)


def test_weights_every_other_batch():
    hook = UpdateWeights(Collector(), 2, policy_weights_getter=lambda: "weights")
    for _ in range(5):
        hook()
    assert hook.collector.got == ["weights"] * 2
    again = UpdateWeights(Collector(), 2)
    again.load_state_dict(hook.state_dict())
    again()
    assert again.collector.got == [None]


def test_the_counter_of_the_updater_is_saved():
    def build():
        loss = DQNLoss(nn.Linear(1, 2), action_space="one_hot", delay_value=True)
        return TargetNetUpdaterHook(HardUpdate(loss, value_network_update_interval=5))

    hook, again = build(), build()
    hook()
    again.load_state_dict(hook.state_dict())
    assert again.target_params_updater.counter == 1


def test_what_is_no_updater():
    with pytest.raises(TypeError, match=r"SoftUpdate\(loss, tau=0.005\)"):
        TargetNetUpdaterHook(nn.Linear(1, 1))


def test_the_cache_is_emptied_at_intervals(monkeypatch):
    calls = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: calls.append(1))
    hook = ClearCudaCache(2)
    for _ in range(5):
        hook()
    assert len(calls) == 2
