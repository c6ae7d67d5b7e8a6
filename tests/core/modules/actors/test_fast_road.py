import cProfile
import pstats

import pytest
import torch
from tensordict import TensorDict
from tensordict.nn import (
    ProbabilisticTensorDictSequential,
    TensorDictModule,
    set_skip_existing,
)
from torch import nn

from rl.core.distributions import (
    Delta,
    FusedCategorical,
    IndependentNormal,
    MaskedCategorical,
    NormalParamExtractor,
    OneHotCategorical,
    TanhDelta,
    TanhNormal,
    TruncatedNormal,
)
from rl.core.errors import MissingKeyError
from rl.core.modules import (
    ExplorationType,
    ProbabilisticActor,
    SafeModule,
    SafeProbabilisticModule,
    SafeProbabilisticTensorDictSequential,
    set_exploration_type,
)

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
    "categorical": lambda **kw: discrete(FusedCategorical, **kw),
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

    @pytest.mark.parametrize("name", ACTORS)
    def test_distributions_are_identical(self, name):
        actor = ACTORS[name]()
        planned, general = data(), data()
        dist = actor.get_dist(planned)
        other = ProbabilisticTensorDictSequential.get_dist(actor, general)
        assert type(dist) is type(other)
        assert torch.equal(dist.deterministic_sample, other.deterministic_sample)
        assert (planned == general).all()
        assert planned.keys() == general.keys()

    def test_hooks_are_run_for_a_distribution(self):
        actor, seen = discrete(), []
        actor.module[0].register_forward_hook(lambda *_: seen.append(1))
        actor.get_dist(data())
        assert seen == [1]

    @pytest.mark.parametrize("mode", MODES[:2])
    def test_a_bound_policy_acts_as_the_policy_did(self, mode):
        actor = discrete(return_log_prob=True)
        with set_exploration_type(mode):
            act = actor.bind()
            torch.manual_seed(7)
            wanted = actor(data())
        torch.manual_seed(7)
        assert (act(data()) == wanted).all()
        with torch.no_grad():
            actor.module[0].module.weight.zero_()
        assert not torch.equal(act(data())["logits"], wanted["logits"])

    def test_a_policy_with_a_forward_of_its_own_is_bound_to_itself(self):
        class Greedy(ProbabilisticActor):
            def forward(self, tensordict):
                return super().forward(tensordict)

        net = TensorDictModule(nn.Linear(3, 4), ["observation"], ["logits"])
        actor = Greedy(net, ["logits"], distribution_class=OneHotCategorical)
        assert actor.bind() is actor

    def test_a_hooked_policy_is_bound_to_itself(self):
        actor = discrete()
        actor.register_forward_hook(lambda *_: None)
        assert actor.bind() is actor

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
        actor = ProbabilisticActor(net, ["logits"], distribution_class=FusedCategorical)
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
        actor = ProbabilisticActor(net, ["logits"], distribution_class=FusedCategorical)
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
