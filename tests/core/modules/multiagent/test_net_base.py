import copy

import pytest
import torch
from tensordict import TensorDict
from tensordict.nn import TensorDictModule
from torch import nn

from rl.core.errors import RLError, ShapeError
from rl.core.modules import MultiAgentMLP, MultiAgentNetBase

CASES = [(c, s) for c in (False, True) for s in (False, True)]


class Norms(MultiAgentNetBase):
    """Networks that are no perceptron, so that they are mapped."""

    def _build_single_net(self, *, device=None, size=3):
        return nn.Sequential(nn.LayerNorm(size, device=device), nn.Linear(size, 2, device=device))

    def _pre_forward_check(self, inputs):
        return inputs.flatten(-2) if self.centralized else inputs


def build(centralized, share_params, **kwargs):
    kwargs = {"size": 12 if centralized else 3, "agent_dim": -2, **kwargs}
    return Norms(n_agents=4, centralized=centralized, share_params=share_params, **kwargs)


@pytest.mark.parametrize(("centralized", "share_params"), CASES)
@pytest.mark.parametrize("batch", [(), (5,), (5, 2)])
def test_shapes(centralized, share_params, batch):
    net = build(centralized, share_params)
    assert net(torch.randn(*batch, 4, 3)).shape == (*batch, 4, 2)
    assert net.params.batch_size == torch.Size([] if share_params else [4])
    assert net.params["0", "bias"] is net.agents.get_parameter("0.bias")


@pytest.mark.parametrize(("centralized", "share_params"), CASES)
def test_who_sees_whom(centralized, share_params):
    """An agent's output depends on the others' inputs when centralised, and only then."""
    net, x = build(centralized, share_params), torch.randn(5, 4, 3, requires_grad=True)
    (grad,) = torch.autograd.grad(net(x)[:, 1, 0].sum(), x)
    seen = grad.abs().sum((0, 2)) > 0
    assert seen.tolist() == ([True] * 4 if centralized else [False, True, False, False])


@pytest.mark.parametrize("centralized", [False, True])
def test_agents_of_their_own_start_apart_and_learn_apart(centralized):
    net, x = build(centralized, False), torch.randn(5, 4, 3)
    assert net.params["1", "weight"].unique(dim=0).shape[0] == 4
    net(x)[:, 2].sum().backward()
    grads = net.params["1", "weight"].grad.abs().sum((1, 2)) > 0
    assert grads.tolist() == [False, False, True, False]


def test_shared_agents_are_one():
    net, x = build(True, True), torch.randn(5, 4, 3)
    out = net(x)
    assert torch.equal(out, out[:, :1].expand_as(out))
    same = build(False, True)(x[:, :1].expand(5, 4, 3))
    torch.testing.assert_close(same, same[:, :1].expand_as(same))


@pytest.mark.parametrize(("centralized", "share_params"), CASES)
def test_state_dict_round_trip(centralized, share_params):
    net, other = build(centralized, share_params), build(centralized, share_params)
    wrapped, x = nn.Sequential(net), torch.randn(5, 4, 3)
    state = wrapped.state_dict()
    assert list(state) == [f"0.params.{n}" for n in ("0.weight", "0.bias", "1.weight", "1.bias")]
    nn.Sequential(other).load_state_dict(state)
    assert torch.equal(other(x), net(x))
    assert next(iter(state)) == "0.params.0.weight", "loading leaves the dict alone"


@pytest.mark.parametrize("share_params", [False, True])
def test_reset_and_initialise(share_params):
    net, x = build(False, share_params), torch.randn(5, 4, 3)
    first = copy.deepcopy(net)
    net.reset_parameters()
    assert not torch.allclose(net.params["1", "weight"], first.params["1", "weight"])
    assert net.params["1", "weight"].abs().max() <= 3**-0.5, "the fan-in is that of one agent"
    networks = net.get_stateful_net()
    for part in [networks] if share_params else networks:
        nn.init.constant_(part[1].weight, 0.0)
        nn.init.constant_(part[1].bias, 2.0)
    net.from_stateful_net(networks)
    assert net(x).eq(2).all()


@pytest.mark.parametrize(("centralized", "share_params"), CASES)
def test_functional_call_and_ensembles(centralized, share_params):
    """Losses call networks with parameters of their own, also stacked once more."""
    net = build(centralized, share_params)
    module = TensorDictModule(net, ["x"], ["y"])
    params = {k: v.detach() * 2 for k, v in module.named_parameters()}
    data = TensorDict(x=torch.randn(5, 4, 3), batch_size=[5])
    doubled = copy.deepcopy(net)
    for parameter in doubled.parameters():
        parameter.data *= 2
    out = torch.func.functional_call(module, params, (data.copy(),))["y"]
    torch.testing.assert_close(out, doubled(data["x"]))
    stacked = {k: torch.stack([v / 2, v]) for k, v in params.items()}
    both = torch.vmap(lambda p: torch.func.functional_call(module, p, (data.copy(),))["y"])(stacked)
    torch.testing.assert_close(both, torch.stack([net(data["x"]), doubled(data["x"])]))


def test_agent_dim_and_several_inputs():
    net = Norms(n_agents=4, centralized=False, share_params=False, agent_dim=-3)
    x = torch.randn(4, 5, 3)
    want = torch.stack([m(part) for m, part in zip(net.get_stateful_net(), x, strict=True)])
    torch.testing.assert_close(net(x), want)
    torch.testing.assert_close(net(x[..., :1], x[..., 1:]), want)


@pytest.mark.parametrize("share_params", [False, True])
def test_one_agent(share_params):
    net = MultiAgentMLP(3, 2, 1, centralized=True, share_params=share_params)
    assert net(torch.zeros(5, 1, 3)).shape == (5, 1, 2)


def test_bad_input():
    for missing in ({"centralized": None}, {"share_params": None}):
        with pytest.raises(RLError, match="pass True or False for both"):
            build(**{"centralized": False, "share_params": False, **missing})
    with pytest.raises(RLError, match="expected a positive number"):
        Norms(n_agents=0, centralized=False, share_params=False, agent_dim=-2)
    with pytest.raises(RLError, match="count from the end"):
        build(False, False, agent_dim=0)
    with pytest.raises(ShapeError, match="expected 4 agents at dimension -2: set `n_agents`"):
        build(False, False)(torch.zeros(5, 3, 3))
