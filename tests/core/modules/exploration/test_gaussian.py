import pytest
import torch
from tensordict import TensorDict
from torch import nn

from rl.core.modules import (
    Actor,
    AdditiveGaussianModule,
    AdditiveGaussianWrapper,
)
from rl.core.specs import Bounded

BOX = Bounded(-1, 1, (2,))


def box_data(num=5):
    return TensorDict(action=torch.zeros(num, 2), batch_size=[num])


class TestGaussian:
    def test_noise_has_mean_and_std(self):
        torch.manual_seed(0)
        module = AdditiveGaussianModule(
            BOX, sigma_init=0.5, sigma_end=0.5, mean=0.2, std=0.4, safe=False
        )
        action = module(box_data(20_000))["action"]
        assert action.mean().item() == pytest.approx(0.1, abs=0.005)
        assert action.std().item() == pytest.approx(0.2, abs=0.005)

    def test_safe_projects(self):
        module = AdditiveGaussianModule(BOX, sigma_init=50.0)
        assert module(box_data(100))["action"].abs().max() == 1

    def test_wrapper(self):
        policy = AdditiveGaussianWrapper(Actor(nn.Linear(3, 2), spec=BOX), annealing_num_steps=10)
        td = policy(TensorDict(observation=torch.zeros(5, 3), batch_size=[5]))
        assert td["action"].shape == (5, 2)
        policy.step(10)
        assert policy[1].sigma.item() == pytest.approx(0.1)
