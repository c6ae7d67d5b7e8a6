import pytest
import torch
from tensordict import TensorDict

from rl.core.errors import MissingKeyError, RLError
from rl.core.modules import CEMPlanner
from rl.core.specs import Unbounded


def planner(env, **kwargs):
    settings = {
        "planning_horizon": 3,
        "optim_steps": 8,
        "num_candidates": 200,
        "top_k": 20,
    }
    return CEMPlanner(env, **{**settings, **kwargs})


@pytest.mark.parametrize("horizon", [1, 3])
def test_finds_the_optimum(quadratic, states, horizon):
    best = states["goal"].clamp(-1, 1)
    out = planner(quadratic(), planning_horizon=horizon)(states)
    torch.testing.assert_close(out["action"], best, atol=0.1, rtol=0)


def test_env_with_a_batch_size_of_its_own(quadratic, states):
    env = quadratic()
    env.batch_size = torch.Size([3])
    env.action_spec = env.action_spec.expand(3, 2)
    best = states["goal"].clamp(-1, 1)
    torch.testing.assert_close(planner(env)(states)["action"], best, atol=0.1, rtol=0)


def test_unbatched_and_exact_counts(quadratic, states):
    env = quadratic()
    out = planner(env)(states[0, 0])
    assert out["action"].shape == (2,)
    assert env.steps == 3 * 8


def test_one_step_by_hand(quadratic):
    """The mean of the two best of four draws."""
    start = TensorDict(position=torch.zeros(2), goal=torch.zeros(2))
    torch.manual_seed(0)
    settings = {"planning_horizon": 1, "optim_steps": 1, "num_candidates": 4, "top_k": 2}
    action = planner(quadratic(), **settings)(start)["action"]
    torch.manual_seed(0)
    drawn = torch.randn(1, 4, 2)[0].clamp(-1, 1)
    best = drawn[drawn.square().sum(-1).argsort()[:2]]
    torch.testing.assert_close(action, best.mean(0))


def test_one_elite(quadratic, states):
    action = planner(quadratic(), top_k=1)(states)["action"]
    assert action.isfinite().all()


def test_returns_stop_at_the_end_of_the_episode(quadratic):
    plan = planner(quadratic(ends_beyond=1.5))
    start = TensorDict(position=torch.zeros(2, 2), goal=torch.zeros(2, 2), batch_size=[2])
    moves = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    returns = plan.returns(start, moves.expand(3, 2, 2))
    # 1 and 2 squared, the last of which ends it
    assert returns.tolist() == [-5.0, 0.0]


def test_group_reward_and_flag(quadratic, states):
    class Grouped(quadratic):
        def step(self, td):
            following = super().step(td)["next"]
            for key in ("reward", "done"):
                value = following.pop(key).unsqueeze(-2)
                following["agents", key] = torch.cat([value, value], -2)
            return td

    assert planner(Grouped(), reward_key=("agents", "reward"))(states)["action"].shape == (2, 3, 2)


def test_bad_input(quadratic, states):
    with pytest.raises(RLError, match="above 0"):
        planner(quadratic(), optim_steps=0)
    with pytest.raises(RLError, match="raise `num_candidates`"):
        planner(quadratic(), top_k=201)
    with pytest.raises(MissingKeyError, match="pass `reward_key=`"):
        planner(quadratic(), reward_key="cost")(states)
    env = quadratic()
    env.action_spec = Unbounded((2,))
    with pytest.raises(RLError, match="NaN rewards"):
        planner(env)(states.set("goal", states["goal"] * torch.nan))
