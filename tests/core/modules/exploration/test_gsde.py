import pytest
import torch
from tensordict import TensorDict
from tensordict.nn import TensorDictModule, TensorDictSequential
from torch.distributions.transforms import TanhTransform

from rl.core.errors import RLError, ShapeError
from rl.core.modules import (
    ExplorationType,
    LazygSDEModule,
    gSDEModule,
    set_exploration_type,
)


def test_by_hand():
    layer = gSDEModule(2, 3, sigma_init=0.5)
    state, mu = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([10.0, 20.0])
    eps = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
    loc, scale, action, same = layer(mu, state, eps)
    torch.testing.assert_close(layer.sigma, torch.full((2, 3), 0.5))
    torch.testing.assert_close(action, torch.tensor([10.5, 22.5]))
    torch.testing.assert_close(scale, torch.full((2,), (0.25 * 14 + 1e-5) ** 0.5))
    assert loc is mu
    assert torch.equal(same, eps)


def test_scale_is_that_of_the_actions():
    layer, state = gSDEModule(2, 3, sigma_init=0.5), torch.tensor([1.0, -2.0, 0.5])
    _, scale, action, _ = layer(torch.zeros(20000, 2), state.expand(20000, 3))
    torch.testing.assert_close(action.std(0), scale[0], rtol=0.03, atol=0)
    torch.testing.assert_close(action.mean(0), torch.zeros(2), rtol=0, atol=0.05)


def test_unit_scale_by_default():
    layer = gSDEModule(2, 16)
    _, scale, _, _ = layer(torch.zeros(2), torch.ones(16))
    torch.testing.assert_close(scale, torch.ones(2))


@pytest.mark.parametrize("batch", [(), (5,), (5, 2)])
def test_noise_is_a_function_of_the_state(batch):
    layer, mu, state = gSDEModule(2, 3), torch.zeros(*batch, 2), torch.randn(*batch, 3)
    _, _, action, eps = layer(mu, state)
    assert eps.shape == (*batch, 2, 3)
    torch.testing.assert_close(layer(mu, state, eps)[2], action)
    torch.testing.assert_close(layer(mu, 2 * state, eps)[2], 2 * action)


def test_zeros_ask_for_new_noise_entry_by_entry():
    layer, eps = gSDEModule(2, 3), torch.randn(4, 2, 3)
    eps[1] = 0
    _, _, _, out = layer(torch.zeros(4, 2), torch.ones(4, 3), eps)
    assert torch.equal(out[[0, 2, 3]], eps[[0, 2, 3]])
    assert out[1].ne(0).all()


def test_no_noise_outside_exploration():
    layer, mu = gSDEModule(2, 3), torch.randn(5, 2)
    with set_exploration_type(ExplorationType.DETERMINISTIC):
        _, scale, action, _ = layer(mu, torch.randn(5, 3))
    assert torch.equal(action, mu)
    assert (scale > 0).all()


def test_transform_and_bounds():
    layer = gSDEModule(2, 3, sigma_init=10.0, transform=TanhTransform())
    assert layer(torch.zeros(50, 2), torch.ones(50, 3))[2].abs().max() <= 1
    torch.nn.init.constant_(layer.log_sigma, 100.0)
    assert layer.sigma.eq(10).all()
    torch.nn.init.constant_(layer.log_sigma, -100.0)
    torch.testing.assert_close(layer.sigma, torch.full((2, 3), 0.01))


def test_learning_sigma():
    layer = gSDEModule(2, 3)
    _, scale, action, _ = layer(torch.zeros(5, 2), torch.randn(5, 3))
    (scale.sum() + action.sum()).backward()
    assert layer.log_sigma.grad.ne(0).all()
    fixed = gSDEModule(2, 3, learn_sigma=False)
    assert list(fixed.parameters()) == []
    assert "log_sigma" in fixed.state_dict()


def test_in_a_policy_the_noise_travels():
    policy = TensorDictSequential(
        TensorDictModule(torch.nn.Linear(3, 2), ["obs"], ["action"]),
        TensorDictModule(
            gSDEModule(2, 3),
            in_keys=["action", "obs", "_eps_gSDE"],
            out_keys=["loc", "scale", "action", "_eps_gSDE"],
        ),
    )
    td = TensorDict(obs=torch.randn(5, 3), _eps_gSDE=torch.zeros(5, 2, 3), batch_size=[5])
    first = policy(td)["action"].clone()
    torch.testing.assert_close(policy(td)["action"], first)
    td["_eps_gSDE"] = torch.zeros(5, 2, 3)
    assert not torch.allclose(policy(td)["action"], first)


@pytest.mark.parametrize("learn_sigma", [True, False])
def test_lazy(learn_sigma):
    layer = LazygSDEModule(sigma_init=0.5, learn_sigma=learn_sigma)
    layer(torch.zeros(5, 2), torch.zeros(5, 3))
    assert type(layer) is gSDEModule
    torch.testing.assert_close(layer.sigma, torch.full((2, 3), 0.5))
    assert len(list(layer.parameters())) == learn_sigma


def test_bad_input():
    with pytest.raises(RLError, match="widen the bounds"):
        gSDEModule(2, 3, sigma_init=20.0)
    with pytest.raises(ShapeError, match="`action_dim=3, state_dim=3`"):
        gSDEModule(2, 3)(torch.zeros(5, 3), torch.zeros(5, 3))
    with pytest.raises(ShapeError, match="prime it with the batch of the data"):
        gSDEModule(2, 3)(torch.zeros(5, 2), torch.zeros(5, 3), torch.zeros(2, 3))
