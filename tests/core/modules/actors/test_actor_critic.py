import pytest
import torch
from tensordict import TensorDict
from torch import nn

from rl.core.errors import RLError
from rl.core.modules import (
    MLP,
    Actor,
    ActorCriticOperator,
    ActorCriticWrapper,
    ActorValueOperator,
    ConvNet,
    ExplorationType,
    NormalParamsWrapper,
    SafeModule,
    SafeProbabilisticModule,
    SafeProbabilisticTensorDictSequential,
    TanhNormal,
    ValueOperator,
    set_exploration_type,
)


def trunk():
    return SafeModule(nn.Linear(3, 4), ["observation"], ["hidden"])


def policy():
    return SafeProbabilisticTensorDictSequential(
        SafeModule(NormalParamsWrapper(nn.Linear(4, 4)), ["hidden"], ["loc", "scale"]),
        SafeProbabilisticModule(
            in_keys=["loc", "scale"],
            out_keys="action",
            distribution_class=TanhNormal,
            return_log_prob=True,
        ),
    )


def data():
    torch.manual_seed(0)
    return TensorDict(observation=torch.randn(5, 3), batch_size=[5])


def test_the_readme_example_of_a_shared_trunk():
    common = ConvNet(
        bias_last_layer=True,
        depth=None,
        num_cells=[32, 64, 64],
        kernel_sizes=[8, 4, 3],
        strides=[4, 2, 1],
    )
    common = SafeModule(common, in_keys=["pixels"], out_keys=["hidden"])
    policy = SafeModule(
        NormalParamsWrapper(MLP(num_cells=[64, 64], out_features=32, activation=nn.ELU)),
        in_keys=["hidden"],
        out_keys=["loc", "scale"],
    )
    policy = SafeProbabilisticTensorDictSequential(
        policy,
        SafeProbabilisticModule(
            in_keys=["loc", "scale"], out_keys="action", distribution_class=TanhNormal
        ),
    )
    value = MLP(num_cells=[64, 64], out_features=1, activation=nn.ELU)
    both = ActorValueOperator(common, policy, value)
    td = both(TensorDict(pixels=torch.zeros(2, 3, 84, 84), batch_size=[2]))
    assert td["action"].shape == (2, 16)
    assert td["state_value"].shape == (2, 1)
    alone = both.get_policy_operator()
    assert alone.in_keys == ["pixels"]
    assert alone.out_keys == ["hidden", "loc", "scale", "action"]


class TestActorValueOperator:
    def test_operators_share_parameters(self):
        both = ActorValueOperator(trunk(), policy(), ValueOperator(nn.Linear(4, 1), ["hidden"]))
        assert both.in_keys == ["observation"]
        actor, critic = both.get_policy_operator(), both.get_value_operator()
        ids = {id(p) for p in both.parameters()}
        assert {id(p) for p in actor.parameters()} | {id(p) for p in critic.parameters()} == ids
        assert critic.out_keys == ["hidden", "state_value"]
        assert both.get_value_head().in_keys == ["hidden"]
        assert both.get_policy_head().in_keys == ["hidden"]

    def test_policy_operator_is_probabilistic_and_planned(self):
        both = ActorValueOperator(trunk(), policy(), nn.Linear(4, 1))
        actor = both.get_policy_operator()
        assert isinstance(actor, SafeProbabilisticTensorDictSequential)
        assert actor._plan is not None
        with set_exploration_type(ExplorationType.RANDOM):
            torch.manual_seed(0)
            planned = actor(data())
            torch.manual_seed(0)
            whole = both(data())
        assert torch.equal(planned["action"], whole["action"])
        assert torch.equal(planned["action_log_prob"], whole["action_log_prob"])
        assert isinstance(actor.get_dist(data()), TanhNormal)

    def test_deterministic_policy(self):
        both = ActorValueOperator(trunk(), Actor(nn.Linear(4, 2), ["hidden"]), nn.Linear(4, 1))
        assert both.get_policy_operator()(data())["action"].shape == (5, 2)


class TestActorCriticOperator:
    def test_critic_reads_the_action(self):
        both = ActorCriticOperator(
            trunk(), policy(), ValueOperator(nn.Bilinear(4, 2, 1), ["hidden", "action"])
        )
        assert both.in_keys == ["observation"]
        td = both.get_critic_operator()(data())
        expected = both.get_value_head().module(td["hidden"], td["action"])
        torch.testing.assert_close(td["state_action_value"], expected)

    def test_module_of_tensors(self):
        both = ActorCriticOperator(trunk(), policy(), nn.Bilinear(4, 2, 1))
        assert both.get_value_head().in_keys == ["hidden", "action"]

    def test_there_is_no_state_value(self):
        both = ActorCriticOperator(trunk(), policy(), nn.Bilinear(4, 2, 1))
        with pytest.raises(RLError, match=r"call `get_critic_operator\(\)`"):
            both.get_value_operator()


def test_wrapper():
    actor, critic = Actor(nn.Linear(3, 2)), ValueOperator(nn.Linear(3, 1))
    pair = ActorCriticWrapper(actor, critic)
    assert pair.get_policy_operator() is pair.get_policy_head() is actor
    assert pair.get_value_operator() is pair.get_value_head() is critic
    assert set(pair(data()).keys()) == {"observation", "action", "state_value"}
