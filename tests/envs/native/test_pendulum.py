import math

import gymnasium
import numpy as np
import pytest
import torch

from rl.core import RLError
from rl.envs.checks import check_env_specs
from rl.envs.native.pendulum import PendulumEnv


def test_specs():
    check_env_specs(PendulumEnv(seed=0))


def test_dynamics_are_gymnasiums():
    theirs = gymnasium.make("Pendulum-v1").unwrapped
    theirs.reset(seed=0)
    theirs.state = np.array([2.5, 0.7])
    env = PendulumEnv()
    td = env.reset()
    td["th"], td["thdot"] = torch.tensor(2.5), torch.tensor(0.7)
    for torque in (-3.0, 1.5, 0.2, 2.0, -0.7) * 8:  # -3 is clipped to -2
        _, reward, _, _, _ = theirs.step(np.array([torque]))
        td["action"] = torch.tensor([torque])
        td = env.step(td)
        assert td["next", "reward"].item() == pytest.approx(float(reward), rel=1e-3, abs=1e-4)
        td = env.step_mdp(td)
        assert td["th"].item() == pytest.approx(theirs.state[0], rel=1e-3, abs=1e-4)
        assert td["thdot"].item() == pytest.approx(theirs.state[1], rel=1e-3, abs=1e-4)


def test_one_step_by_hand():
    env = PendulumEnv()
    td = env.reset()
    td["th"], td["thdot"] = torch.tensor(math.pi / 2), torch.tensor(1.0)
    td["action"] = torch.tensor([1.0])
    following = env.step(td)["next"]
    # thdot' = 1 + (15 sin(pi/2) + 3 * 1) * 0.05 = 1.9
    assert following["thdot"].item() == pytest.approx(1.9)
    assert following["th"].item() == pytest.approx(math.pi / 2 + 1.9 * 0.05)
    assert following["reward"].item() == pytest.approx(-((math.pi / 2) ** 2 + 0.1 + 0.001))


def test_any_batch_size_and_parameters():
    env = PendulumEnv(seed=0)
    td = env.reset(env.gen_params(g=9.81, batch_size=[5, 2]))
    assert td["params", "g"].unique().item() == pytest.approx(9.81)
    rollout = env.rollout(4, auto_reset=False, tensordict=td)
    assert rollout["next", "reward"].shape == torch.Size([5, 2, 4, 1])


def test_start_is_in_range_and_seeded():
    env = PendulumEnv()
    env.set_seed(3)
    first = env.reset(env.gen_params(batch_size=[1000]))
    assert first["th"].abs().max() <= math.pi
    assert first["th"].abs().max() > 3
    assert first["thdot"].abs().max() <= 1
    env.set_seed(3)
    assert (env.reset(env.gen_params(batch_size=[1000]))["th"] == first["th"]).all()


def test_gradient_flows_through_a_rollout():
    env = PendulumEnv(seed=0)
    gain = torch.tensor(0.5, requires_grad=True)

    def policy(td):
        return td.set("action", (gain * td["th"]).unsqueeze(-1))

    env.rollout(3, policy)["next", "reward"].sum().backward()
    assert gain.grad.abs() > 0


def test_resume():
    env = PendulumEnv(seed=0)
    state = env.resume_state()
    expected = env.reset()["th"]
    other = PendulumEnv(seed=1)
    other.load_resume_state(state)
    assert other.reset()["th"] == expected


def test_unknown_parameter():
    with pytest.raises(RLError, match="Did you mean `max_torque`"):
        PendulumEnv.gen_params(max_torqe=1.0)
