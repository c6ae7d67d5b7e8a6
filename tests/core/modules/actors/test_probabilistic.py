import copy

import torch
from tensordict import TensorDict, from_module
from tensordict.nn import (
    CompositeDistribution,
    ProbabilisticTensorDictSequential,
    TensorDictModule,
    TensorDictModuleBase,
    set_composite_lp_aggregate,
)
from torch import nn

from rl.core.distributions import (
    FusedCategorical,
    NormalParamExtractor,
    OneHotCategorical,
    TanhNormal,
)
from rl.core.modules import (
    ExplorationType,
    ProbabilisticActor,
    SafeProbabilisticModule,
    set_exploration_type,
)


def data(batch=(5,), features=3):
    torch.manual_seed(0)
    return TensorDict(observation=torch.randn(*batch, features), batch_size=batch)


def discrete(kind=OneHotCategorical, actions=4, **kwargs):
    torch.manual_seed(1)
    net = TensorDictModule(nn.Linear(3, actions), ["observation"], ["logits"])
    return ProbabilisticActor(net, ["logits"], distribution_class=kind, **kwargs)


def gaussian(kind=TanhNormal, actions=2, **kwargs):
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(3, 2 * actions), NormalParamExtractor())
    net = TensorDictModule(net, ["observation"], ["loc", "scale"])
    return ProbabilisticActor(net, ["loc", "scale"], distribution_class=kind, **kwargs)


class TestContract:
    """What a `ProbabilisticTensorDictSequential` owes its users."""

    def test_keys(self):
        actor = gaussian(return_log_prob=True)
        assert isinstance(actor, ProbabilisticTensorDictSequential)
        assert actor.in_keys == ["observation"]
        assert actor.out_keys == ["loc", "scale", "action", "action_log_prob"]
        assert isinstance(actor[0], TensorDictModuleBase)
        assert list(actor.spec.keys()) == actor.out_keys

    def test_nested_keys(self):
        net = TensorDictModule(nn.Linear(3, 4), [("agents", "observation")], [("agents", "logits")])
        actor = ProbabilisticActor(
            net,
            [("agents", "logits")],
            [("agents", "action")],
            distribution_class=OneHotCategorical,
            return_log_prob=True,
        )
        td = TensorDict(
            {"agents": TensorDict(observation=torch.zeros(5, 2, 3), batch_size=[5, 2])}, [5]
        )
        td = actor(td)
        assert actor.out_keys[-1] == ("agents", "action_log_prob")
        assert td["agents", "action"].shape == (5, 2, 4)
        assert td["agents", "action_log_prob"].shape == (5, 2)

    def test_log_prob_key(self):
        td = discrete(return_log_prob=True, log_prob_key="lp")(data())
        assert set(td.keys()) >= {"lp"}
        assert td.get("action_log_prob", None) is None

    def test_aggregated_log_prob_key(self):
        with set_composite_lp_aggregate(True):
            actor = discrete(return_log_prob=True)
            assert actor.out_keys[-1] == "sample_log_prob"
            assert actor(data())["sample_log_prob"].shape == (5,)

    def test_distribution_methods(self):
        actor = gaussian(return_log_prob=True)
        with set_exploration_type(ExplorationType.RANDOM):
            td = actor(data())
        dist = actor.get_dist(data())
        assert isinstance(dist, TanhNormal)
        params = actor.get_dist_params(data())
        assert isinstance(actor.build_dist_from_params(params), TanhNormal)
        torch.testing.assert_close(actor.log_prob(td), td["action_log_prob"], atol=1e-3, rtol=1e-3)

    def test_selected_keys(self):
        actor = gaussian(return_log_prob=True)
        actor.select_out_keys("action", "action_log_prob")
        assert actor._plan is not None
        td = actor(data())
        assert set(td.keys()) == {"observation", "action", "action_log_prob"}
        assert set(td.keys()) == set(actor.general_forward(data()).keys())
        actor.reset_out_keys()
        assert actor(data())["loc"].shape == (5, 2)

    def test_tensors_instead_of_a_tensordict(self):
        actor = discrete(return_log_prob=True)
        by_name = actor(observation=data()["observation"])
        by_position = actor(data()["observation"])
        assert len(by_name) == len(by_position) == 3
        assert torch.equal(by_name[0], by_position[0])

    def test_functional_parameters(self):
        actor = discrete()
        params = from_module(actor).data.clone().zero_()
        with params.to_module(actor):
            td = actor(data())
        assert not td["logits"].any()
        assert actor(data())["logits"].any()

    def test_vmap_over_parameters(self):
        actor = discrete()
        params = torch.stack([from_module(actor).data, from_module(actor).data * 2])

        def call(params, td):
            with params.to_module(actor):
                return actor(td)

        td = torch.vmap(call, (0, None))(params, data())
        assert td["action"].shape == (2, 5, 4)
        torch.testing.assert_close(td["logits"][1], 2 * td["logits"][0])

    def test_copies_are_independent(self):
        actor = discrete()
        twin = copy.deepcopy(actor)
        assert twin._plan is not None
        nn.init.zeros_(twin[0].module.weight)
        nn.init.zeros_(twin[0].module.bias)
        assert not twin(data())["logits"].any()
        assert actor(data())["logits"].any()
        twin.load_state_dict(actor.state_dict())
        torch.testing.assert_close(twin(data())["logits"], actor(data())["logits"])

    def test_generator_and_num_samples(self):
        draws = []
        for _ in range(2):
            actor = discrete(generator=torch.Generator().manual_seed(0))
            with set_exploration_type(ExplorationType.RANDOM):
                draws.append(actor(data((50,)))["action"])
        assert torch.equal(*draws)

    def test_composite_actions(self):
        net = TensorDictModule(
            lambda x: (x[..., :2], x[..., :2].exp(), x),
            ["observation"],
            [("params", "move", "loc"), ("params", "move", "scale"), ("params", "jump", "logits")],
        )
        actor = ProbabilisticActor(
            net,
            ["params"],
            distribution_class=CompositeDistribution,
            distribution_kwargs={
                "distribution_map": {"move": TanhNormal, "jump": FusedCategorical}
            },
            return_log_prob=True,
        )
        with set_exploration_type(ExplorationType.RANDOM):
            td = actor(data())
        assert td["move"].shape == (5, 2)
        assert td["jump"].shape == (5,)
        assert td["move_log_prob"].shape == td["jump_log_prob"].shape == (5,)

    def test_default_interaction_type(self):
        actor = discrete(default_interaction_type=ExplorationType.RANDOM)
        td = data()
        draws = torch.stack([actor(td)["action"] for _ in range(30)])
        assert draws.unique(dim=0).shape[0] > 1
        assert torch.equal(discrete()(data())["action"], discrete()(data())["action"])

    def test_out_key_as_a_string(self):
        head = SafeProbabilisticModule(
            in_keys=["loc", "scale"], out_keys="action", distribution_class=TanhNormal
        )
        assert head.out_keys == ["action"]
