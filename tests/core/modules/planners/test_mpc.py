import pytest
import torch
from tensordict import TensorDict

from rl.core.errors import RLError, SpecError
from rl.core.modules import CEMPlanner, MPCPlannerBase
from rl.core.specs import Bounded, Categorical, Composite, Unbounded


class ToGoal(MPCPlannerBase):
    """Plans without looking ahead."""

    def planning(self, tensordict):
        return self.action_spec.project(tensordict["goal"] - tensordict["position"])


def test_writes_the_action_alone(quadratic, states):
    before = states.clone()
    planner = ToGoal(quadratic())
    assert planner.in_keys == ["position", "goal"]
    assert planner.out_keys == ["action"]
    out = planner(states)
    assert out is states
    torch.testing.assert_close(out.pop("action")[:, 2], torch.tensor([[1.0, -1.0]] * 2))
    assert (out == before).all()
    assert set(out.keys()) == set(before.keys())


def test_dispatch_and_nested_action(quadratic):
    env = quadratic()
    env.action_spec = Composite({("agent", "action"): Bounded(-1, 1, (2,))})
    planner = ToGoal(env, action_key=("agent", "action"))
    action = planner(position=torch.zeros(2), goal=torch.full((2,), 0.5))
    assert action.tolist() == [0.5, 0.5]


def test_first_distribution_fills_the_bounds(quadratic, states):
    env = quadratic()
    env.action_spec = Bounded(torch.tensor([2.0, -torch.inf]), torch.tensor([6.0, torch.inf]), (2,))
    mean, std = ToGoal(env).initial_distribution(states, 4)
    assert mean.shape == std.shape == (4, 1, 2, 3, 2)
    assert mean[0, 0, 0, 0].tolist() == [4, 0]
    assert std[0, 0, 0, 0].tolist() == [2, 1]
    env.action_spec = Unbounded((2,))
    assert ToGoal(env).initial_distribution(states, 4)[1].eq(1).all()


def test_simulation_leaves_the_start_alone(quadratic):
    env = quadratic()
    planner = ToGoal(env)
    start = TensorDict(position=torch.zeros(5, 2), goal=torch.ones(5, 2), batch_size=[5])
    before = start.clone()
    actions = torch.full((3, 5, 2), 0.5)
    positions = [step["next", "position"][0, 0].item() for step in planner.simulate(start, actions)]
    assert positions == [0.5, 1.0, 1.5]
    assert set(start.keys()) == set(before.keys())
    assert (start == before).all()


def test_bad_env(quadratic):
    with pytest.raises(RLError, match="expected an env with `step`"):
        ToGoal(torch.nn.Linear(2, 2))
    env = quadratic()
    env.batch_locked = True
    with pytest.raises(RLError, match="use a stateless env"):
        ToGoal(env)
    env = quadratic()
    env.action_spec = Categorical(3)
    with pytest.raises(SpecError, match="continuous actions"):
        ToGoal(env)
    env.action_spec = Composite(left=Unbounded(1), right=Unbounded(1))
    with pytest.raises(SpecError, match="pass `action_key=`"):
        ToGoal(env)


def test_an_env_that_writes_in_place_does_not_reach_the_caller(quadratic, states):
    class Writes(quadratic):
        def step(self, td):
            td["position"].add_(td["action"])
            return super().step(td)

    before = states.clone()
    out = CEMPlanner(Writes(), 2, optim_steps=2, num_candidates=5, top_k=2)(states)
    assert (out.exclude("action") == before).all()
