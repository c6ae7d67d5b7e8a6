import torch
from tensordict import TensorDict
from tensordict.nn import TensorDictModule

from rl.core.modules import SafeModule, WorldModelWrapper
from rl.core.specs import Unbounded


def test_transition_then_reward():
    transition = TensorDictModule(lambda s, a: s + a, ["state", "action"], ["state"])
    reward = TensorDictModule(lambda s: s.sum(-1, keepdim=True), ["state"], ["reward"])
    world = WorldModelWrapper(transition, reward)
    td = world(TensorDict(state=torch.ones(2, 3), action=torch.ones(2, 3), batch_size=[2]))
    assert td["reward"].tolist() == [[6.0], [6.0]]
    assert world.in_keys == ["state", "action"]
    assert world.get_transition_model_operator() is transition
    assert world.get_reward_operator() is reward


def test_spec_is_the_union():
    parts = [
        SafeModule(torch.nn.Linear(3, 3), ["s"], ["s"], spec=Unbounded((3,))),
        SafeModule(torch.nn.Linear(3, 1), ["s"], ["reward"], spec=Unbounded((1,))),
    ]
    assert WorldModelWrapper(*parts).spec["reward"].shape == (1,)
