"""Planners over an env and with a value estimator."""

import pytest
import torch

from rl.core import CEMPlanner, MPPIPlanner, ValueOperator
from rl.envs import PendulumEnv
from rl.objectives import TDLambdaEstimator

SEARCH = {"planning_horizon": 15, "optim_steps": 4, "num_candidates": 100, "top_k": 10}


@pytest.fixture
def hanging():
    """Pendulums that hang, or lean to a side."""
    env = PendulumEnv(seed=0)
    start = env.reset(env.gen_params(batch_size=[3]))
    start["th"], start["thdot"] = torch.tensor([torch.pi, 2.5, -2.0]), torch.zeros(3)
    return env, start


def mppi(env):
    nothing = ValueOperator(lambda th: torch.zeros_like(th).unsqueeze(-1), in_keys=["th"])
    estimator = TDLambdaEstimator(gamma=0.99, lmbda=1.0, value_network=nothing)
    return MPPIPlanner(env, estimator, 0.1, **SEARCH)


@pytest.mark.parametrize("plan", [lambda env: CEMPlanner(env, **SEARCH), mppi], ids=["cem", "mppi"])
def test_swings_the_pendulum_up(hanging, plan):
    env, start = hanging
    torch.manual_seed(0)
    out = env.rollout(70, plan(env), auto_reset=False, tensordict=start.clone())
    assert env.action_spec.is_in(out["action"])
    # upright and at rest costs nothing, hanging costs pi squared
    assert out["next", "reward"][:, -10:].mean() > -0.5
