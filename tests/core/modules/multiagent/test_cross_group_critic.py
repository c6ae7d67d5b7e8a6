import pytest
import torch
from tensordict import TensorDict

from rl.core.errors import RLError, ShapeError
from rl.core.modules import CrossCriticGroupSpec, CrossGroupCritic

SIZES = {"red": (4, 2), "blue": (6, 3), "green": (1, 1)}
GROUPS = {
    name: CrossCriticGroupSpec(size, n, (name, "observation"), (name, "state_value"))
    for name, (size, n) in SIZES.items()
}


def data(*batch):
    td = TensorDict(batch_size=batch)
    for name, (size, n) in SIZES.items():
        td[name, "observation"] = torch.randn(*batch, n, size, requires_grad=True)
    return td


@pytest.mark.parametrize("batch", [(), (5,), (5, 2)])
@pytest.mark.parametrize("trunk_depth", [0, 1, 2])
def test_values_per_agent(batch, trunk_depth):
    td = CrossGroupCritic(GROUPS, trunk_depth=trunk_depth)(data(*batch))
    for name, (_, n) in SIZES.items():
        assert td[name, "state_value"].shape == (*batch, n, 1)


def test_keys():
    critic = CrossGroupCritic(GROUPS)
    assert critic.in_keys == [(name, "observation") for name in SIZES]
    assert critic.out_keys == [(name, "state_value") for name in SIZES]


def test_every_agent_is_seen_by_every_other():
    td = data(5)
    value = CrossGroupCritic(GROUPS)(td)["red", "state_value"][:, 0].sum()
    grads = torch.autograd.grad(value, [td[key] for key in CrossGroupCritic(GROUPS).in_keys])
    assert all((grad.abs().sum((0, 2)) > 0).all() for grad in grads)


def test_agents_of_a_group_have_their_own_value():
    value = CrossGroupCritic(GROUPS)(data(5))["blue", "state_value"]
    assert value[0].unique().numel() == 3


def test_detached_groups_inform_without_learning():
    critic, td = CrossGroupCritic(GROUPS, detach_groups=["blue"]), data(5)
    value = critic(td)["red", "state_value"]
    value.sum().backward()
    assert td["blue", "observation"].grad is None
    assert td["red", "observation"].grad is not None
    encoders = critic.module.encoders
    assert [e[0].weight.grad is None for e in encoders] == [False, True, False]
    other = td.detach().clone()
    other["blue", "observation"] += 1
    assert not torch.allclose(critic(other)["red", "state_value"], value)


def test_heads_are_shared_on_demand():
    assert len(CrossGroupCritic(GROUPS, share_params=True).module.heads) == 1
    assert len(CrossGroupCritic(GROUPS).module.heads) == 3


def test_bad_input():
    with pytest.raises(RLError, match="name one in `group_map`"):
        CrossGroupCritic({})
    with pytest.raises(RLError, match="Did you mean `blue`"):
        CrossGroupCritic(GROUPS, detach_groups=["bleu"])
    td = data(5)
    td["red", "observation"] = torch.zeros(5, 3, 4)
    with pytest.raises(ShapeError, match="set `n_agents` and `obs_dim`"):
        CrossGroupCritic(GROUPS)(td)
