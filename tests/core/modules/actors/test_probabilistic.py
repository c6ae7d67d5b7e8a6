import copy
import cProfile
import pstats

import pytest
import torch
from tensordict import TensorDict, from_module
from tensordict.nn import (
    CompositeDistribution,
    ProbabilisticTensorDictSequential,
    TensorDictModule,
    TensorDictModuleBase,
    set_composite_lp_aggregate,
    set_skip_existing,
)
from torch import nn

from rl.core.distributions import (
    Categorical,
    Delta,
    IndependentNormal,
    MaskedCategorical,
    NormalParamExtractor,
    OneHotCategorical,
    TanhDelta,
    TanhNormal,
    TruncatedNormal,
)
from rl.core.errors import MissingKeyError, RLError, SpecError
from rl.core.modules import (
    ExplorationType,
    ProbabilisticActor,
    SafeModule,
    SafeProbabilisticModule,
    SafeProbabilisticTensorDictSequential,
    set_exploration_type,
)
from rl.core.specs import Bounded, Composite, OneHot
from rl.core.specs import Categorical as CategoricalSpec

MODES = [
    ExplorationType.RANDOM,
    ExplorationType.DETERMINISTIC,
    ExplorationType.MODE,
    ExplorationType.MEAN,
]


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


def deterministic(kind=Delta, **kwargs):
    net = TensorDictModule(nn.Linear(3, 2), ["observation"], ["param"])
    return ProbabilisticActor(net, ["param"], distribution_class=kind, **kwargs)


ACTORS = {
    "one-hot": discrete,
    "categorical": lambda **kw: discrete(Categorical, **kw),
    "tanh-normal": gaussian,
    "tanh-normal, box": lambda **kw: gaussian(
        distribution_kwargs={"low": -2.0, "high": torch.tensor([1.0, 3.0])}, **kw
    ),
    "normal": lambda **kw: gaussian(IndependentNormal, **kw),
    "truncated": lambda **kw: gaussian(TruncatedNormal, **kw),
    "delta": deterministic,
    "tanh-delta": lambda **kw: deterministic(TanhDelta, **kw),
}

# classes have no mean: `test_mean_of_classes`
CASES = [
    (name, mode)
    for name in ACTORS
    for mode in (*MODES, None)
    if mode is not ExplorationType.MEAN or name not in ("one-hot", "categorical")
]


class TestRoads:
    """The planned road and tensordict's own give the same results."""

    @pytest.mark.parametrize(("name", "mode"), CASES)
    @pytest.mark.parametrize("scored", [True, False])
    def test_results_are_identical(self, name, mode, scored):
        actor = ACTORS[name](return_log_prob=scored)
        assert actor._plan is not None, "the standard actor must have a plan"
        with set_exploration_type(mode):
            torch.manual_seed(7)
            planned = actor(data())
            torch.manual_seed(7)
            general = actor.general_forward(data())
        assert list(planned.keys()) == list(general.keys())
        for key in set(planned.keys()):
            assert torch.equal(planned[key], general[key]), key
            assert planned[key].dtype == general[key].dtype
            assert planned[key].requires_grad == general[key].requires_grad

    @pytest.mark.parametrize("batch", [(), (1,), (2, 3)])
    def test_shapes(self, batch):
        td = discrete(return_log_prob=True)(data(batch))
        assert td["action"].shape == (*batch, 4)
        assert td["action_log_prob"].shape == batch
        td = gaussian(return_log_prob=True)(data(batch))
        assert td["action"].shape == (*batch, 2)
        assert td["action_log_prob"].shape == batch

    def test_gradients_are_identical(self):
        actor = gaussian(return_log_prob=True)
        grads = []
        for road in (actor, actor.general_forward):
            with set_exploration_type(ExplorationType.RANDOM):
                torch.manual_seed(0)
                td = road(data())
            loss = td["action_log_prob"].sum() + td["action"].sum()
            grads.append(torch.autograd.grad(loss, list(actor.parameters())))
        for a, b in zip(*grads, strict=True):
            torch.testing.assert_close(a, b)

    def test_several_networks(self):
        trunk = SafeModule(nn.Linear(3, 6), ["observation"], ["hidden"])
        head = TensorDictModule(nn.Linear(6, 4), ["hidden"], ["logits"])
        draw = SafeProbabilisticModule(
            ["logits"], ["action"], distribution_class=OneHotCategorical, return_log_prob=True
        )
        policy = SafeProbabilisticTensorDictSequential(trunk, head, draw)
        assert policy._plan is not None
        with set_exploration_type(ExplorationType.RANDOM):
            torch.manual_seed(0)
            planned = policy(data())
            torch.manual_seed(0)
            general = policy.general_forward(data())
        assert (planned == general).all()
        assert set(planned.keys()) == set(general.keys())

    def test_parameters_from_the_tensordict(self):
        net = TensorDictModule(nn.Linear(3, 4), ["observation"], ["logits"])
        actor = ProbabilisticActor(
            net, {"logits": "logits", "mask": "action_mask"}, distribution_class=MaskedCategorical
        )
        assert actor._plan is not None
        assert set(actor.in_keys) == {"observation", "action_mask"}
        mask = torch.tensor([False, True, False, True]).expand(5, 4)
        td = data().set("action_mask", mask)
        with set_exploration_type(ExplorationType.RANDOM):
            assert set(actor(td)["action"].tolist()) <= {1, 3}
        with pytest.raises(MissingKeyError, match="`action_mask` is missing"):
            actor(data())

    def test_hooks_take_the_general_road(self):
        actor, seen = discrete(), []
        actor[0].register_forward_hook(lambda *_: seen.append("net"))
        actor[1].register_forward_pre_hook(lambda *_: seen.append("head"))
        actor(data())
        assert seen == ["net", "head"]

    def test_hooks_of_the_inner_network_are_called(self):
        actor, seen = discrete(), []
        actor[0].module.register_forward_hook(lambda *_: seen.append("inner"))
        actor(data())
        assert seen == ["inner"]

    def test_replaced_members_are_planned_again(self):
        actor = discrete()
        other = TensorDictModule(nn.Linear(3, 4), ["observation"], ["logits"])
        nn.init.zeros_(other.module.weight)
        other.module.bias.data = torch.tensor([0.0, 0.0, 9.0, 0.0])
        actor.module[0] = other
        assert actor(data())["action"][:, 2].all()

    def test_settings_of_the_head_may_change(self):
        actor = gaussian(return_log_prob=True)
        quiet = actor(data())["action"]
        actor[1].default_interaction_type = ExplorationType.RANDOM
        assert not torch.equal(actor(data())["action"], quiet)
        actor[1].distribution_kwargs = {"low": 5.0, "high": 6.0}
        assert (actor(data())["action"] >= 5).all()

    def test_output_of_another_kind_takes_the_general_road(self):
        net = TensorDictModule(lambda x: {"logits": x.new_zeros(5, 4)}, ["observation"], ["logits"])
        actor = ProbabilisticActor(net, ["logits"], distribution_class=Categorical)
        assert actor(data())["action"].shape == (5,)

    @pytest.mark.parametrize(
        "net",
        [
            TensorDictModule(nn.Linear(3, 4), {"input": "observation"}, ["logits"]),
            TensorDictModule(nn.Linear(3, 4), ["observation"], ["logits"], inplace=False),
            TensorDictModule(lambda x: (x, x), ["observation"], ["logits", "_"]),
        ],
        ids=["named arguments", "not in place", "dropped output"],
    )
    def test_unplanned_modules_work(self, net):
        actor = ProbabilisticActor(net, ["logits"], distribution_class=Categorical)
        assert actor._plan is None
        assert actor(data())["action"].shape == (5,)

    def test_foreign_distribution(self):
        actor = discrete(torch.distributions.Categorical, return_log_prob=True)
        assert actor._plan is None
        assert actor(data())["action_log_prob"].shape == (5,)

    def test_skip_existing(self):
        actor = discrete(return_log_prob=True)
        td = actor(data())
        before = td.clone()
        with set_skip_existing(True), set_exploration_type(ExplorationType.RANDOM):
            actor(td)
        assert (td == before).all()

    @pytest.mark.parametrize("make", [discrete, gaussian])
    def test_call_budget(self, make):
        actor, td = make(return_log_prob=True), data()
        inner, observation = actor[0].module, td["observation"]

        def calls(function):
            profile = cProfile.Profile()
            function()
            profile.enable()
            for _ in range(10):
                function()
            profile.disable()
            return pstats.Stats(profile).total_calls / 10

        with torch.no_grad(), set_exploration_type(ExplorationType.RANDOM):
            assert calls(lambda: actor(td)) - calls(lambda: inner(observation)) <= 80


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
            distribution_kwargs={"distribution_map": {"move": TanhNormal, "jump": Categorical}},
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


class TestSpecs:
    def test_leaf_and_composite(self):
        leaf = discrete(spec=OneHot(4))
        assert leaf.spec["action"] == OneHot(4)
        assert leaf.spec["logits"] is None
        assert discrete(spec=Composite(action=OneHot(4))).spec["action"] == OneHot(4)

    @pytest.mark.parametrize(
        ("actor", "fix"),
        [
            (lambda: discrete(spec=OneHot(9)), "give the network as many outputs"),
            (lambda: gaussian(spec=Bounded(-1, 1, (3,))), "pass the env's `action_spec`"),
            (
                lambda: discrete(spec=CategoricalSpec(4)),
                "use `Categorical`, or an env",
            ),
            (lambda: discrete(Categorical, spec=OneHot(4)), "use `OneHotCategorical`"),
            (lambda: discrete(Categorical, spec=CategoricalSpec(7)), "give the network 7 outputs"),
        ],
    )
    @pytest.mark.parametrize("general", [True, False])
    def test_spec_that_does_not_fit(self, actor, fix, general):
        actor = actor()
        call = actor.general_forward if general else actor
        with pytest.raises(SpecError, match=fix):
            call(data())

    @pytest.mark.parametrize("spec", [OneHot(4), OneHot(4, (8, 4)), Composite(action=OneHot(4))])
    def test_specs_that_fit(self, spec):
        actor = discrete(spec=spec)
        for batch in ((8,), (256,), (2, 8)):
            assert actor(data(batch))["action"].shape == (*batch, 4)

    def test_checked_once_per_shape(self, monkeypatch):
        actor = discrete(spec=OneHot(4))
        actor(data())
        monkeypatch.setattr(
            "rl.core.modules.actors.probabilistic.check_fits",
            lambda *_: pytest.fail("checked again"),
        )
        actor(data())

    def test_safe_projects(self):
        actor = gaussian(IndependentNormal, spec=Bounded(-0.1, 0.1, (2,)), safe=True)
        with set_exploration_type(ExplorationType.RANDOM):
            assert actor(data())["action"].abs().max() <= 0.1
        with pytest.raises(SpecError, match="pass `spec=`"):
            gaussian(safe=True)

    def test_spec_with_foreign_keys(self):
        with pytest.raises(SpecError, match="name the entries of the `Composite` after `out_keys`"):
            discrete(spec=Composite(move=OneHot(4)))


class TestErrors:
    @pytest.mark.parametrize("general", [True, False])
    def test_missing_key(self, general):
        actor = discrete()
        call = actor.general_forward if general else actor
        with pytest.raises(MissingKeyError) as caught:
            call(TensorDict(pixels=torch.zeros(5, 3), batch_size=[5]))
        for fragment in ("`observation` is missing", "['pixels']", "Rename `in_keys`"):
            assert fragment in str(caught.value)
        assert "TensorDictModule" in str(caught.value) or "ProbabilisticActor" in str(caught.value)

    def test_module_of_tensors(self):
        with pytest.raises(RLError, match="wrap it, `TensorDictModule"):
            ProbabilisticActor(nn.Linear(3, 4), ["logits"], distribution_class=Categorical)

    @pytest.mark.parametrize("kind", [Categorical, OneHotCategorical])
    @pytest.mark.parametrize("general", [True, False])
    def test_mean_of_classes(self, kind, general):
        actor = discrete(kind)
        call = actor.general_forward if general else actor
        with (
            set_exploration_type(ExplorationType.MEAN),
            pytest.raises(RLError, match=r"Use `ExplorationType\.DETERMINISTIC`"),
        ):
            call(data())


@pytest.mark.parametrize("make", [discrete, gaussian])
def test_compiled_equals_eager(make):
    actor = make(return_log_prob=True)
    compiled = torch.compile(actor, fullgraph=True, backend="aot_eager")
    for mode in (ExplorationType.DETERMINISTIC, ExplorationType.RANDOM):
        with set_exploration_type(mode), torch.no_grad():
            got, eager = compiled(data()), actor(data())
        assert set(got.keys()) == set(eager.keys())
        assert got["action"].shape == eager["action"].shape
        if mode is ExplorationType.DETERMINISTIC:
            torch.testing.assert_close(got["action"], eager["action"])
        else:
            torch.testing.assert_close(
                actor.log_prob(got), got["action_log_prob"], atol=1e-3, rtol=1e-3
            )
