"""What every estimator does: values, keys, time, modes, errors."""

import pytest
import torch
from tensordict import TensorDict
from tensordict.nn import TensorDictModule
from torch import nn

from rl.core.errors import MissingKeyError, ShapeError
from rl.objectives.functional import vec_generalized_advantage_estimate
from rl.objectives.value import GAE, TD0Estimator, TD1Estimator, TDLambdaEstimator
from rl.objectives.value.base import time_dimension


class Counting(nn.Linear):
    """A linear map that counts its calls and rows."""

    def __init__(self):
        super().__init__(3, 1)
        self.calls, self.rows = 0, 0

    def forward(self, x):
        self.calls += 1
        self.rows += x.shape[:-1].numel()
        return super().forward(x)


@pytest.fixture
def net():
    torch.manual_seed(0)
    return TensorDictModule(Counting(), ["observation"], ["state_value"])


def rollout(*shape, names=None, consistent=False):
    """A batch [*B, T] of which `consistent` has next[t] == root[t + 1] inside episodes."""
    torch.manual_seed(1)
    terminated = torch.rand(*shape, 1) < 0.1
    done = terminated | (torch.rand(*shape, 1) < 0.15)
    observation, following = torch.randn(2, *shape, 3).unbind(0)
    if consistent:
        inside = ~done[..., :-1, :]
        following[..., :-1, :] = torch.where(
            inside, observation[..., 1:, :], following[..., :-1, :]
        )
    step = {
        "observation": following,
        "reward": torch.randn(*shape, 1),
        "done": done,
        "terminated": terminated,
    }
    return TensorDict({"observation": observation, "next": step}, shape, names=names)


def expected_gae(net, batch, gamma=0.9, lmbda=0.8, time_dim=-2):
    value = net.module(batch["observation"])
    following = net.module(batch["next", "observation"])
    step = batch["next"]
    return vec_generalized_advantage_estimate(
        gamma,
        lmbda,
        value,
        following,
        step["reward"],
        step["done"],
        step["terminated"],
        time_dim=time_dim,
    )


@pytest.mark.parametrize("shape", [(7,), (4, 7), (2, 3, 7)])
def test_one_call_of_the_network(net, shape):
    batch = rollout(*shape)
    advantage, target = expected_gae(net, batch)
    net.module.calls = 0
    result = GAE(gamma=0.9, lmbda=0.8, value_network=net)(batch)
    assert result is batch
    assert net.module.calls == 1
    torch.testing.assert_close(batch["advantage"], advantage)
    torch.testing.assert_close(batch["value_target"], target)
    torch.testing.assert_close(batch["state_value"], net.module(batch["observation"]))
    torch.testing.assert_close(
        batch["next", "state_value"], net.module(batch["next", "observation"])
    )
    assert not batch["advantage"].requires_grad


def test_shifted_evaluates_only_the_next_states_it_needs(net):
    batch = rollout(4, 9, consistent=True)
    advantage, _ = expected_gae(net, batch)
    ends = batch["next", "done"].clone()
    ends[:, -1] = True
    net.module.calls = net.module.rows = 0
    GAE(gamma=0.9, lmbda=0.8, value_network=net, shifted=True)(batch)
    assert net.module.calls == 1
    assert net.module.rows == 4 * 9 + ends.sum()
    torch.testing.assert_close(batch["advantage"], advantage)


@pytest.mark.parametrize("options", [{"value_chunk_size": 3}, {"num_chunks": 3}])
def test_chunks(net, options):
    batch = rollout(4, 7)
    advantage, _ = expected_gae(net, batch)
    net.module.calls = 0
    GAE(gamma=0.9, lmbda=0.8, value_network=net, **options)(batch)
    assert net.module.calls == 3
    torch.testing.assert_close(batch["advantage"], advantage)


def test_two_ways_to_chunk(net):
    with pytest.raises(ValueError, match="not both"):
        GAE(gamma=0.9, lmbda=0.8, value_network=net, value_chunk_size=2, num_chunks=2)


def test_deactivate_vmap_calls_twice(net):
    batch = rollout(4, 7)
    advantage, _ = expected_gae(net, batch)
    net.module.calls = 0
    GAE(gamma=0.9, lmbda=0.8, value_network=net, deactivate_vmap=True)(batch)
    assert net.module.calls == 2
    torch.testing.assert_close(batch["advantage"], advantage)


def test_skip_existing_reads_the_values(net):
    batch = rollout(4, 7)
    batch["state_value"] = torch.zeros(4, 7, 1)
    batch["next", "state_value"] = torch.zeros(4, 7, 1)
    net.module.calls = 0
    TD0Estimator(gamma=0.9, value_network=net, skip_existing=True)(batch)
    assert net.module.calls == 0
    torch.testing.assert_close(batch["value_target"], batch["next", "reward"])


def test_without_network(net):
    batch = rollout(4, 7)
    GAE(gamma=0.9, lmbda=0.8, value_network=net)(batch)
    again = batch.exclude("advantage", "value_target")
    GAE(gamma=0.9, lmbda=0.8, value_network=None)(again)
    torch.testing.assert_close(again["advantage"], batch["advantage"])


def test_without_network_and_values():
    with pytest.raises(MissingKeyError, match="pass `value_network`, or write the values"):
        GAE(gamma=0.9, lmbda=0.8, value_network=None)(rollout(4, 7))


def test_time_is_the_dimension_of_that_name(net):
    batch = rollout(7, 4, names=["time", None])
    advantage, _ = expected_gae(net, batch, time_dim=0)
    GAE(gamma=0.9, lmbda=0.8, value_network=net)(batch)
    torch.testing.assert_close(batch["advantage"], advantage)


def test_time_dim_argument(net):
    batch = rollout(7, 4)
    advantage, _ = expected_gae(net, batch, time_dim=0)
    GAE(gamma=0.9, lmbda=0.8, value_network=net)(batch, time_dim=0)
    torch.testing.assert_close(batch["advantage"], advantage)
    GAE(gamma=0.9, lmbda=0.8, value_network=net, time_dim=-2)(batch)
    torch.testing.assert_close(batch["advantage"], advantage)


def test_time_dimension():
    assert time_dimension(TensorDict(batch_size=[3, 4])) == 1
    assert time_dimension(TensorDict(batch_size=[3, 4], names=["time", None])) == 0
    assert time_dimension(TensorDict(batch_size=[3, 4]), -2) == 0
    with pytest.raises(MissingKeyError, match="expected `\\[\\*B, T\\]`"):
        time_dimension(TensorDict())


def test_terminated_defaults_to_done(net):
    batch = rollout(4, 7)
    full = batch.clone()
    full["next", "terminated"] = full["next", "done"]
    del batch["next", "terminated"]
    gae = GAE(gamma=0.9, lmbda=0.8, value_network=net)
    torch.testing.assert_close(gae(batch)["advantage"], gae(full)["advantage"])


def test_differentiable(net):
    batch = rollout(4, 7)
    GAE(gamma=0.9, lmbda=0.8, value_network=net, differentiable=True)(batch)
    batch["advantage"].sum().backward()
    assert net.module.weight.grad.abs().sum() > 0


def test_params_and_target_params(net):
    batch = rollout(4, 7)
    params = TensorDict.from_module(net).data.clone()
    zero = params.apply(torch.zeros_like)
    TD0Estimator(gamma=0.9, value_network=net)(batch, params=params, target_params=zero)
    torch.testing.assert_close(batch["value_target"], batch["next", "reward"])
    torch.testing.assert_close(batch["state_value"], net.module(batch["observation"]).detach())
    one = TD0Estimator(gamma=0.9, value_network=net)
    result = one(rollout(4, 7), params=zero)
    torch.testing.assert_close(result["value_target"], result["next", "reward"])


def test_value_estimate_leaves_the_batch(net):
    batch = rollout(4, 7)
    keys = set(batch.keys(True, True))
    estimator = TDLambdaEstimator(gamma=0.9, lmbda=0.8, value_network=net)
    target = estimator.value_estimate(batch)
    assert set(batch.keys(True, True)) == keys
    torch.testing.assert_close(target, estimator(batch)["value_target"])


def test_value_estimate_of_gae(net):
    batch = rollout(4, 7)
    gae = GAE(gamma=0.9, lmbda=0.8, value_network=net)
    torch.testing.assert_close(gae.value_estimate(batch), gae(batch.clone())["value_target"])


def test_value_estimate_with_given_next_value():
    batch = rollout(5)
    estimator = TD0Estimator(gamma=0.5, value_network=None)
    target = estimator.value_estimate(batch, next_value=torch.full((5, 1), 4.0))
    expected = batch["next", "reward"] + 2.0 * ~batch["next", "terminated"]
    torch.testing.assert_close(target, expected)


@pytest.mark.parametrize("place", ["steps_to_next_obs", ("next", "steps_to_next_obs")])
def test_n_step_discount(net, place):
    batch = rollout(4, 7)
    batch[place] = torch.full((4, 7, 1), 3)
    result = TD0Estimator(gamma=0.5, value_network=net)(batch)
    bootstrap = 0.125 * result["next", "state_value"] * ~batch["next", "terminated"]
    torch.testing.assert_close(result["value_target"], batch["next", "reward"] + bootstrap)


def test_nested_keys(net):
    batch = rollout(4, 7)
    expected = GAE(gamma=0.9, lmbda=0.8, value_network=net)(batch.clone())["advantage"]
    nested = TensorDict({"observation": batch["observation"]}, [4, 7])
    for key in ("reward", "done", "terminated"):
        nested["next", "agents", key] = batch["next", key]
    nested["next", "observation"] = batch["next", "observation"]
    gae = GAE(gamma=0.9, lmbda=0.8, value_network=net)
    gae.set_keys(
        reward=("agents", "reward"),
        done=("agents", "done"),
        terminated=("agents", "terminated"),
        advantage=("agents", "advantage"),
    )
    torch.testing.assert_close(gae(nested)["agents", "advantage"], expected)
    assert ("next", "agents", "reward") in gae.in_keys


def test_names_follow_the_network():
    net = TensorDictModule(nn.Linear(3, 1), ["observation"], ["worth"])
    batch = TD1Estimator(gamma=0.9, value_network=net)(rollout(4, 7))
    assert batch["worth"].shape == (4, 7, 1)


def test_keyword_call(net):
    batch = rollout(4, 7)
    gae = GAE(gamma=0.9, lmbda=0.8, value_network=net)
    advantage, target, value = gae(
        observation=batch["observation"],
        next_observation=batch["next", "observation"],
        next_reward=batch["next", "reward"],
        next_done=batch["next", "done"],
        next_terminated=batch["next", "terminated"],
    )
    gae(batch)
    torch.testing.assert_close(advantage, batch["advantage"])
    torch.testing.assert_close(target, batch["value_target"])
    torch.testing.assert_close(value, batch["state_value"])


def test_gamma_as_tensor_is_a_buffer(net):
    gae = GAE(gamma=torch.tensor(0.9), lmbda=0.8, value_network=net)
    assert "gamma" in dict(gae.named_buffers())
    batch = rollout(4, 7)
    torch.testing.assert_close(gae(batch)["advantage"], expected_gae(net, batch)[0])


def test_hidden_states_are_read_at_the_root():
    net = TensorDictModule(lambda x, h: x[..., :1] + h, ["observation", "hidden"], ["state_value"])
    batch = rollout(4, 7)
    batch["hidden"] = torch.ones(4, 7, 1)
    GAE(gamma=0.9, lmbda=0.8, value_network=net)(batch)
    torch.testing.assert_close(
        batch["next", "state_value"], batch["next", "observation"][..., :1] + 1
    )


def test_unknown_key_name(net):
    gae = GAE(gamma=0.9, lmbda=0.8, value_network=net)
    with pytest.raises(ValueError, match=r"Did you mean `advantage`.*accepts: `advantage`, `value"):
        gae.set_keys(advantages="a")


def test_missing_reward_names_the_batch(net):
    batch = rollout(4, 7)
    del batch["next", "reward"]
    with pytest.raises(MissingKeyError, match="name the entry that holds it with `set_keys`"):
        GAE(gamma=0.9, lmbda=0.8, value_network=net)(batch)


def test_reward_without_trailing_dimension(net):
    batch = rollout(4, 7)
    batch["next", "reward"] = batch["next", "reward"].squeeze(-1)
    with pytest.raises(ShapeError, match=r"pass `reward.unsqueeze\(-1\)`"):
        GAE(gamma=0.9, lmbda=0.8, value_network=net)(batch)
