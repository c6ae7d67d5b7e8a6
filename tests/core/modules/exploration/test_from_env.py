from types import SimpleNamespace

from tensordict.nn import TensorDictSequential
from torch import nn

from rl.core.modules import (
    Actor,
    AdditiveGaussianModule,
    EGreedyModule,
    set_exploration_modules_spec_from_env,
)
from rl.core.specs import Bounded, Composite

BOX = Bounded(-1, 1, (2,))


def test_spec_from_env():
    given = AdditiveGaussianModule(Bounded(-9, 9, (2,)))
    policy = TensorDictSequential(Actor(nn.Linear(3, 2)), given, EGreedyModule(None))
    env = SimpleNamespace(full_action_spec=Composite(action=BOX))
    set_exploration_modules_spec_from_env(policy, env)
    assert given.action_spec == Bounded(-9, 9, (2,))
    assert policy[2].action_spec == BOX
