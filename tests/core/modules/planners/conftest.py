import pytest
import torch
from tensordict import TensorDict

from rl.core.specs import Bounded, Composite, Unbounded


class Quadratic:
    """A point that moves by its action; the reward is `-(position - goal)^2` after the move."""

    batch_locked = False
    batch_size = torch.Size([])

    def __init__(self, high=1.0, ends_beyond=None):
        self.observation_spec = Composite(position=Unbounded((2,)), goal=Unbounded((2,)))
        self.action_spec = Bounded(-high, high, (2,))
        self.ends_beyond = ends_beyond
        self.steps = 0

    def step(self, td):
        self.steps += 1
        position = td["position"] + td["action"]
        result = {
            "position": position,
            "goal": td["goal"],
            "reward": -(position - td["goal"]).square().sum(-1, keepdim=True),
        }
        done = torch.zeros_like(result["reward"], dtype=torch.bool)
        if self.ends_beyond is not None:
            done = position[..., :1] > self.ends_beyond
        return td.set("next", TensorDict(result | {"done": done}, td.batch_size))


@pytest.fixture
def quadratic():
    """The class of the env."""
    return Quadratic


@pytest.fixture
def states():
    """Two times three states, all within reach of their goals or far from them."""
    torch.manual_seed(0)
    goal = torch.tensor([[[0.5, -0.2], [0.1, 0.9], [5.0, -5.0]]]).expand(2, 3, 2)
    return TensorDict(
        position=torch.zeros(2, 3, 2), goal=goal.clone(), other=torch.ones(2, 3), batch_size=[2, 3]
    )
