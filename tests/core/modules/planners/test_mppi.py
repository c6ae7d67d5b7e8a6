import pytest
import torch
from tensordict import TensorDict
from tensordict.nn import TensorDictModule, TensorDictModuleBase

from rl.core.errors import MissingKeyError, RLError
from rl.core.modules import MPPIPlanner

REWARD = TensorDictModule(lambda reward: reward, [("next", "reward")], ["advantage"])


def planner(env, advantage=REWARD, temperature=5.0, **kwargs):
    settings = {
        "planning_horizon": 3,
        "optim_steps": 8,
        "num_candidates": 200,
        "top_k": 20,
    }
    return MPPIPlanner(env, advantage, temperature, **{**settings, **kwargs})


def test_finds_the_optimum(quadratic, states):
    before = states.clone()
    settings = {"temperature": 0.2, "planning_horizon": 2, "num_candidates": 400, "top_k": 40}
    out = planner(quadratic(), **settings)(states)
    torch.testing.assert_close(out.pop("action"), before["goal"].clamp(-1, 1), atol=0.05, rtol=0)
    assert set(out.keys()) == set(before.keys())


def test_weights_by_hand(quadratic):
    """One step with all candidates: the mean weighted by exp(temperature * advantage)."""
    start = TensorDict(position=torch.zeros(2), goal=torch.zeros(2))
    torch.manual_seed(0)
    action = planner(
        quadratic(), temperature=3.0, planning_horizon=1, optim_steps=1, num_candidates=4, top_k=4
    )(start)["action"]
    torch.manual_seed(0)
    drawn = torch.randn(1, 4, 2)[0].clamp(-1, 1)
    weight = (3.0 * -drawn.square().sum(-1)).exp()
    torch.testing.assert_close(action, (weight[:, None] * drawn).sum(0) / weight.sum())


def test_the_module_sees_trajectories(quadratic, states):
    class Spy(TensorDictModuleBase):
        in_keys, out_keys = [("next", "reward")], ["gain"]
        tensor_keys = type("Keys", (), {"advantage": "gain"})

        def forward(self, td):
            self.seen = td
            return td.set("gain", td["next", "reward"])

    spy = Spy()
    planner(quadratic(), spy)(states)
    assert spy.seen.batch_size == (200, 2, 3, 3)
    assert spy.seen.names[-1] == "time"
    assert torch.equal(spy.seen["next", "position"][..., :-1, :], spy.seen["position"][..., 1:, :])


def test_advantages_stop_at_the_end_of_the_episode(quadratic):
    plan = planner(quadratic(ends_beyond=1.5))
    start = TensorDict(position=torch.zeros(2, 2), goal=torch.zeros(2, 2), batch_size=[2])
    moves = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    assert plan.advantages(start, moves.expand(3, 2, 2)).tolist() == [-5.0, 0.0]


def test_bad_input(quadratic, states):
    with pytest.raises(RLError, match=r"1\.0 is a start"):
        planner(quadratic(), temperature=0.0)
    with pytest.raises(RLError, match="raise `num_candidates`"):
        planner(quadratic(), top_k=500)
    silent = TensorDictModule(lambda reward: reward, [("next", "reward")], ["value"])
    with pytest.raises(MissingKeyError, match="pass an `advantage_module`"):
        planner(quadratic(), silent)(states)
    nan = TensorDictModule(lambda r: r * torch.nan, [("next", "reward")], ["advantage"])
    with pytest.raises(RLError, match="NaN advantages"):
        planner(quadratic(), nan)(states)
