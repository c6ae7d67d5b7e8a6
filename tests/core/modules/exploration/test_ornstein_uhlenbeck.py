import math

import pytest
import torch
from tensordict import TensorDict
from torch import nn

from rl.core.modules import (
    Actor,
    OrnsteinUhlenbeckProcessModule,
    OrnsteinUhlenbeckProcessWrapper,
)
from rl.core.specs import Bounded

BOX = Bounded(-1, 1, (2,))


def box_data(num=5):
    return TensorDict(action=torch.zeros(num, 2), batch_size=[num])


class TestOrnsteinUhlenbeck:
    def test_first_step_by_hand(self):
        module = OrnsteinUhlenbeckProcessModule(BOX, x0=0.5, mu=1.0, theta=0.1, sigma=0.3, dt=0.04)
        torch.manual_seed(0)
        td = module(box_data())
        torch.manual_seed(0)
        noise = torch.randn(5, 2)
        expected = 0.5 + 0.1 * 0.5 * 0.04 + 0.3 * 0.2 * noise
        torch.testing.assert_close(td["_ou_prev_noise"], expected)
        torch.testing.assert_close(td["action"], expected.clamp(-1, 1))
        assert td["_ou_steps"].tolist() == [1] * 5

    def test_state_goes_on_and_starts_again(self):
        module = OrnsteinUhlenbeckProcessModule(BOX, sigma=0.0, x0=1.0, theta=1.0, dt=0.5)
        td = box_data()
        for _ in range(2):
            td = module(td)
        # x <- x - x / 2
        torch.testing.assert_close(td["_ou_prev_noise"], torch.full((5, 2), 0.25))
        is_init = torch.tensor([True, False, False, False, False]).view(5, 1)
        td = module(td.set("is_init", is_init))
        torch.testing.assert_close(td["_ou_prev_noise"][:2], torch.tensor([[0.5] * 2, [0.125] * 2]))
        assert td["_ou_steps"].tolist() == [1, 3, 3, 3, 3]

    def test_volatility_decreases_along_the_trajectory(self):
        module = OrnsteinUhlenbeckProcessModule(
            BOX, theta=0.0, sigma=1.0, sigma_min=0.0, n_steps_annealing=2, dt=1.0
        )
        td = box_data()
        steps = [module(td)["_ou_prev_noise"].clone() for _ in range(4)]
        assert not torch.equal(steps[0], steps[1])
        assert torch.equal(steps[2], steps[3])

    def test_eps_scales_the_noise(self):
        module = OrnsteinUhlenbeckProcessModule(BOX, annealing_num_steps=10)
        module.step(10)
        td = module(box_data())
        torch.testing.assert_close(td["action"], 0.1 * td["_ou_prev_noise"])

    def test_stationary_spread(self):
        torch.manual_seed(0)
        module = OrnsteinUhlenbeckProcessModule(BOX, theta=1.0, sigma=1.0, dt=0.1, safe=False)
        td = box_data(2000)
        for _ in range(80):
            td["action"] = torch.zeros(2000, 2)
            td = module(td)
        # AR(1) with a = 0.9 and innovation variance 0.1: 0.1 / (1 - 0.81)
        expected = math.sqrt(0.1 / 0.19)
        assert td["action"].std().item() == pytest.approx(expected, rel=0.05)

    def test_nested_key(self):
        module = OrnsteinUhlenbeckProcessModule(BOX, action_key=("g", "a"))
        assert module.out_keys == [("g", "a"), ("g", "_ou_prev_noise"), ("g", "_ou_steps")]

    def test_wrapper(self):
        actor = Actor(nn.Linear(3, 2), spec=BOX)
        policy = OrnsteinUhlenbeckProcessWrapper(actor, annealing_num_steps=10)
        td = policy(TensorDict(observation=torch.zeros(5, 3), batch_size=[5]))
        assert td["_ou_steps"].tolist() == [1] * 5
        policy.step(10)
        assert policy[1].eps.item() == pytest.approx(0.1)


@pytest.mark.parametrize("init", [("is_init", (4, 1)), (("agents", "is_init"), (4, 3, 1))])
def test_each_agent_of_a_group_has_its_process(init):
    key, shape = init
    module = OrnsteinUhlenbeckProcessModule(
        Bounded(-1.0, 1.0, shape=(3, 2)), action_key=("agents", "action"), is_init_key=key
    )
    action = torch.zeros(4, 3, 2)
    td = TensorDict({"agents": TensorDict({"action": action}, [4, 3])}, [4])
    td[key] = torch.zeros(shape, dtype=torch.bool)
    for _ in range(3):
        td["agents", "action"] = action.clone()
        module(td)
    assert td["agents", "_ou_steps"].eq(3).all()
    assert td["agents", "action"].unique().numel() == 24
    td[key][1] = True
    td["agents", "action"] = action.clone()
    module(td)
    assert td["agents", "_ou_steps"].tolist() == [[4] * 3, [1] * 3, [4] * 3, [4] * 3]
