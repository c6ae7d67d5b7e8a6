"""Every TensorDict module that is exported passes the kit; broken ones do not."""

import inspect
import re
from typing import ClassVar

import pytest
import torch
from tensordict import TensorDict
from tensordict.nn import TensorDictModule, TensorDictModuleBase, dispatch
from torch import nn

import rl.core.modules as ours
from rl.core import Bounded, Categorical, Composite, OneHot, Unbounded
from rl.core.modules import (
    MLP,
    Actor,
    ActorCriticOperator,
    ActorCriticWrapper,
    ActorValueOperator,
    AdditiveGaussianModule,
    CEMPlanner,
    ConsistentDropoutModule,
    CrossCriticGroupSpec,
    CrossGroupCritic,
    DecisionTransformerInferenceWrapper,
    DistributionalDQNnet,
    DistributionalQValueActor,
    DistributionalQValueModule,
    EGreedyModule,
    EXP3Score,
    GRUModule,
    LMHeadActorValueOperator,
    LSTMModule,
    MPPIPlanner,
    MultiStepActorWrapper,
    NormalParamExtractor,
    OneHotCategorical,
    OrnsteinUhlenbeckProcessModule,
    ProbabilisticActor,
    PUCTScore,
    QValueActor,
    QValueModule,
    RandomPolicy,
    RSSMPosterior,
    RSSMPosteriorV3,
    RSSMPrior,
    RSSMPriorV3,
    RSSMRollout,
    RSSMRolloutV3,
    SafeModule,
    SafeProbabilisticModule,
    SafeProbabilisticTensorDictSequential,
    SafeSequential,
    TanhModule,
    TanhNormal,
    UCB1TunedScore,
    UCBScore,
    ValueOperator,
    VmapModule,
    WorldModel,
    WorldModelWrapper,
)
from rl.core.testing import check_module

N = 4
BOX = Bounded(-1.0, 1.0, (2,))


class Point:
    """A point that moves by its action towards a goal."""

    batch_locked, batch_size = False, torch.Size([])
    observation_spec = Composite(position=Unbounded((2,)), goal=Unbounded((2,)))
    action_spec = BOX

    def step(self, td):
        position = td["position"] + td["action"]
        reward = -(position - td["goal"]).square().sum(-1, keepdim=True)
        result = {"position": position, "goal": td["goal"], "reward": reward}
        return td.set("next", TensorDict(result, td.batch_size))


def rows(**entries):
    torch.manual_seed(0)
    made = {}
    for name, shape in entries.items():
        made[name] = shape if isinstance(shape, torch.Tensor) else torch.randn(N, *shape)
    return TensorDict(made, [N])


def one_hot(n=3):
    return torch.eye(n, dtype=torch.bool)[torch.arange(N) % n]


def mask(n=3):
    legal = torch.ones(N, n, dtype=torch.bool)
    legal[:, 0] = False
    return legal


def nested(**entries):
    return TensorDict({"agents": rows(**entries)}, [N])


def common():
    return SafeModule(nn.Linear(3, 5), ["observation"], ["hidden"])


def head(out=2):
    return SafeModule(nn.Linear(5, out), ["hidden"], ["action"])


def gaussian(in_key="observation", out=("loc", "scale")):
    net = nn.Sequential(nn.Linear(3, 4), NormalParamExtractor())
    return TensorDictModule(net, [in_key], list(out))


def probabilistic(**options):
    return ProbabilisticActor(
        gaussian(), ["loc", "scale"], spec=BOX, distribution_class=TanhNormal, **options
    )


def language_model():
    class Trunk(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(10, 4)

        def forward(self, input_ids, attention_mask):
            return self.embed(input_ids) * attention_mask.unsqueeze(-1)

    model = nn.Module()
    model.transformer, model.lm_head = Trunk(), nn.Linear(4, 10)
    return model


def decision_transformer():
    return DecisionTransformerInferenceWrapper(
        TensorDictModule(
            lambda obs, action, rtg: obs.cumsum(-2) + action + rtg,
            ["observation", "action", "return_to_go"],
            ["action"],
        ),
        inference_context=2,
    )


def critic():
    groups = {
        "red": CrossCriticGroupSpec(4, 2, ("red", "observation"), ("red", "state_value")),
        "blue": CrossCriticGroupSpec(6, 3, ("blue", "observation"), ("blue", "state_value")),
    }
    return CrossGroupCritic(groups)


def world_model():
    return WorldModel(
        TensorDictModule(nn.Linear(3, 4), ["observation"], ["latent"]),
        TensorDictModule(
            lambda z, a: z + a.sum(-1, True), ["latent", "action"], [("next", "latent")]
        ),
        TensorDictModule(nn.Linear(4, 1), [("next", "latent")], [("next", "reward")]),
    )


def rssm():
    prior = TensorDictModule(
        RSSMPrior(BOX),
        ["state", "belief", "action"],
        [("next", "prior_mean"), ("next", "prior_std"), "_", ("next", "belief")],
    )
    posterior = TensorDictModule(
        RSSMPosterior(),
        [("next", "belief"), ("next", "encoded_latents")],
        [("next", "posterior_mean"), ("next", "posterior_std"), ("next", "state")],
    )
    return started(RSSMRollout(prior, posterior), sequences(30, 200))


def rssm_v3():
    prior = TensorDictModule(
        RSSMPriorV3(action_shape=(2,), hidden_dim=8, rnn_hidden_dim=8),
        ["state", "belief", "action"],
        [("next", "prior_logits"), "_", ("next", "belief")],
    )
    posterior = TensorDictModule(
        RSSMPosteriorV3(hidden_dim=8),
        [("next", "belief"), ("next", "encoded_latents")],
        [("next", "posterior_logits"), ("next", "state")],
    )
    return started(RSSMRolloutV3(prior, posterior), sequences(1024, 8))


def sequences(state, belief):
    data = rows(
        state=(3, state),
        belief=(3, belief),
        action=(3, 2),
        is_init=torch.zeros(N, 3, 1, dtype=torch.bool),
    )
    data.batch_size = [N, 3]
    latents = TensorDict({"encoded_latents": torch.randn(N, 3, 16)}, [N, 3])
    return data.set("next", latents)


def started(module, data):
    """A lazy module that ran once."""
    module(data)
    return module


def tree(**more):
    visits = torch.arange(1.0, 13.0).reshape(N, 3)
    return rows(win_count=visits / 2, visits=visits, total_visits=visits.sum(-1), **more)


def first():
    return (torch.arange(N) % 2 == 0).unsqueeze(-1)


def advantage():
    return TensorDictModule(lambda reward: reward, [("next", "reward")], ["advantage"])


PLANNING = {"planning_horizon": 2, "optim_steps": 2, "num_candidates": 8, "top_k": 2}
#: planners draw candidates for the whole batch, in every mode
DRAWS = {"rows": False, "vmap": False}
#: `vmap` works on modules without branches that depend on data
NO_VMAP = {"vmap": False}
#: what a spec is asked to project, and the least number of a dtype, keep to one dtype
ONE_DTYPE = {"dtype": None}
FULL = {"backend": "eager", "fullgraph": True}
#: the batch size of bare tensors cannot be told from their shapes, or is not needed
NO_DISPATCH = {"dispatch": False}
SUBJECTS = {
    "Actor": (
        lambda: Actor(nn.Linear(3, 2), spec=BOX, safe=True),
        rows(observation=[3]),
        ONE_DTYPE,
    ),
    "Actor, nested": (
        lambda: Actor(nn.Linear(3, 2), [("agents", "observation")], [("agents", "action")]),
        nested(observation=[3]),
    ),
    "ActorCriticOperator": (
        lambda: ActorCriticOperator(
            common(),
            head(),
            ValueOperator(MLP(7, 1, num_cells=[4]), in_keys=["hidden", "action"]),
        ),
        rows(observation=[3]),
    ),
    "ActorCriticWrapper": (
        lambda: ActorCriticWrapper(
            Actor(nn.Linear(3, 2)), ValueOperator(nn.Linear(3, 1), in_keys=["observation"])
        ),
        rows(observation=[3]),
    ),
    "ActorValueOperator": (
        lambda: ActorValueOperator(
            common(), head(), ValueOperator(nn.Linear(5, 1), in_keys=["hidden"])
        ),
        rows(observation=[3]),
    ),
    "AdditiveGaussianModule": (lambda: AdditiveGaussianModule(BOX), rows(action=[2]), NO_DISPATCH),
    "AdditiveGaussianModule, nested": (
        lambda: AdditiveGaussianModule(BOX, action_key=("agents", "action")),
        nested(action=[2]),
        NO_DISPATCH,
    ),
    "CEMPlanner": (
        lambda: CEMPlanner(Point(), **PLANNING),
        rows(position=[2], goal=[2]),
        DRAWS | ONE_DTYPE,
    ),
    "MPPIPlanner": (
        lambda: MPPIPlanner(Point(), advantage(), 1.0, **PLANNING),
        rows(position=[2], goal=[2]),
        DRAWS | ONE_DTYPE,
    ),
    "ConsistentDropoutModule": (
        lambda: ConsistentDropoutModule(0.5, ["hidden"], ["dropped"]),
        rows(hidden=[3]),
        DRAWS | NO_DISPATCH,
    ),
    "ConsistentDropoutModule, evaluated": (
        lambda: ConsistentDropoutModule(0.5, ["hidden"], ["dropped"]).eval(),
        rows(hidden=[3]),
        NO_DISPATCH | {"optional_keys": ["dropped_dropout_mask"]},
    ),
    "CrossGroupCritic": (
        critic,
        TensorDict(red=rows(observation=(2, 4)), blue=rows(observation=(3, 6)), batch_size=[N]),
    ),
    "DecisionTransformerInferenceWrapper": (
        decision_transformer,
        rows(observation=(4, 2), action=(4, 2), return_to_go=(4, 1)),
        NO_DISPATCH,
    ),
    "DistributionalDQNnet": (DistributionalDQNnet, rows(action_value=(5, 3))),
    "DistributionalQValueModule": (
        lambda: DistributionalQValueModule("one_hot", torch.arange(5.0)),
        rows(action_value=torch.randn(N, 5, 3).log_softmax(-2)),
    ),
    "DistributionalQValueModule, masked": (
        lambda: DistributionalQValueModule(
            "one_hot", torch.arange(5.0), action_mask_key="action_mask"
        ),
        rows(action_value=torch.randn(N, 5, 3).log_softmax(-2), action_mask=mask()),
        ONE_DTYPE,
    ),
    "DistributionalQValueActor": (
        lambda: DistributionalQValueActor(
            nn.Sequential(nn.Linear(3, 15), nn.Unflatten(-1, (5, 3))),
            support=torch.arange(5.0),
            spec=OneHot(3),
        ),
        rows(observation=[3]),
    ),
    "EGreedyModule": (lambda: EGreedyModule(OneHot(3)), rows(action=one_hot()), NO_DISPATCH),
    "EGreedyModule, masked": (
        lambda: EGreedyModule(OneHot(3), action_mask_key="action_mask"),
        rows(action=one_hot(), action_mask=mask()),
        NO_DISPATCH,
    ),
    "EXP3Score": (EXP3Score, rows(weights=torch.rand(N, 3) + 1), NO_DISPATCH),
    "PUCTScore": (lambda: PUCTScore(c=1.0), tree(prior_prob=torch.rand(N, 3)), NO_DISPATCH),
    "UCBScore": (lambda: UCBScore(c=1.0), tree(), NO_DISPATCH),
    "UCB1TunedScore": (UCB1TunedScore, tree(sum_squared_rewards=torch.rand(N, 3) + 9), NO_DISPATCH),
    "GRUModule": (
        lambda: GRUModule(3, 4, in_key="observation", out_key="features"),
        rows(observation=[3], recurrent_state=(1, 4), is_init=first()),
        {"also_writes": ["recurrent_state"], "vmap": False, "optional_keys": []},
    ),
    "LSTMModule": (
        lambda: LSTMModule(3, 4, in_key="observation", out_key="features"),
        rows(
            observation=[3],
            recurrent_state_h=(1, 4),
            recurrent_state_c=(1, 4),
            is_init=first(),
        ),
        {"also_writes": ["recurrent_state_h", "recurrent_state_c"], "vmap": False},
    ),
    "LSTMModule, nested": (
        lambda: LSTMModule(
            3,
            4,
            in_keys=[("agents", "observation"), "h", "c", "is_init"],
            out_keys=[("agents", "features"), ("next", "h"), ("next", "c")],
            python_based=True,
        ),
        nested(observation=[3]).update(rows(h=(1, 4), c=(1, 4), is_init=first())),
        {"also_writes": ["h", "c"]},
    ),
    "LMHeadActorValueOperator": (
        lambda: LMHeadActorValueOperator(language_model()),
        rows(
            input_ids=torch.randint(10, (N, 5)),
            attention_mask=torch.ones(N, 5, dtype=torch.int64),
        ),
    ),
    "MultiStepActorWrapper": (
        lambda: MultiStepActorWrapper(
            TensorDictModule(
                lambda obs: obs + torch.arange(3.0).unsqueeze(-1), ["obs"], ["action"]
            ),
            n_steps=3,
        ),
        rows(obs=(1, 2), is_init=torch.ones(N, 1, dtype=torch.bool)),
        NO_VMAP | NO_DISPATCH,
    ),
    "OrnsteinUhlenbeckProcessModule": (
        lambda: OrnsteinUhlenbeckProcessModule(BOX),
        rows(action=[2], is_init=first()),
        NO_DISPATCH,
    ),
    "ProbabilisticActor": (probabilistic, rows(observation=[3])),
    "ProbabilisticActor, log-prob": (
        lambda: probabilistic(return_log_prob=True),
        rows(observation=[3]),
    ),
    "ProbabilisticActor, nested": (
        lambda: ProbabilisticActor(
            TensorDictModule(nn.Linear(3, 3), [("agents", "observation")], [("agents", "logits")]),
            [("agents", "logits")],
            out_keys=[("agents", "action")],
            distribution_class=OneHotCategorical,
            return_log_prob=True,
        ),
        nested(observation=[3]),
    ),
    "QValueActor": (
        lambda: QValueActor(nn.Linear(3, 4), in_keys=["observation"], spec=Categorical(4)),
        rows(observation=[3]),
    ),
    "QValueModule": (lambda: QValueModule("categorical"), rows(action_value=[3])),
    "QValueModule, masked": (
        lambda: QValueModule("one_hot", action_mask_key="action_mask"),
        rows(action_value=[3], action_mask=mask()),
        ONE_DTYPE,
    ),
    "QValueActor, masked": (
        lambda: QValueActor(
            nn.Linear(3, 3),
            in_keys=["observation"],
            spec=OneHot(3),
            action_mask_key=("agents", "action_mask"),
        ),
        rows(observation=[3]).set("agents", rows(action_mask=mask())),
        ONE_DTYPE,
    ),
    "RandomPolicy": (
        lambda: RandomPolicy(BOX),
        rows(observation=[3]),
        DRAWS | NO_DISPATCH | ONE_DTYPE,
    ),
    "RSSMRollout": (rssm, sequences(30, 200), DRAWS | NO_DISPATCH | ONE_DTYPE),
    "RSSMRolloutV3": (rssm_v3, sequences(1024, 8), DRAWS | NO_DISPATCH),
    "SafeModule": (
        lambda: SafeModule(nn.Linear(3, 2), ["a"], ["b"], spec=BOX, safe=True),
        rows(a=[3]),
        ONE_DTYPE,
    ),
    "SafeModule, in place": (
        lambda: SafeModule(nn.Linear(3, 3), ["a"], ["a"], spec=Unbounded(3)),
        rows(a=[3]),
    ),
    "SafeProbabilisticModule": (
        lambda: SafeProbabilisticModule(
            ["loc", "scale"], ["action"], distribution_class=TanhNormal, return_log_prob=True
        ),
        rows(loc=[2], scale=torch.rand(N, 2) + 0.1),
    ),
    "SafeProbabilisticTensorDictSequential": (
        lambda: SafeProbabilisticTensorDictSequential(
            gaussian(),
            SafeProbabilisticModule(["loc", "scale"], ["action"], distribution_class=TanhNormal),
        ),
        rows(observation=[3]),
    ),
    "SafeSequential": (lambda: SafeSequential(common(), head()), rows(observation=[3])),
    "TanhModule": (lambda: TanhModule(["action"], spec=BOX, clamp=True), rows(action=[2])),
    "ValueOperator": (
        lambda: ValueOperator(nn.Linear(3, 1), in_keys=["observation"]),
        rows(observation=[3]),
    ),
    "ValueOperator, of an action": (
        lambda: ValueOperator(MLP(5, 1, num_cells=[4]), in_keys=["observation", "action"]),
        rows(observation=[3], action=[2]),
    ),
    "VmapModule": (
        lambda: VmapModule(TensorDictModule(nn.Linear(3, 2), ["a"], ["b"]), 0),
        rows(a=[3]),
        DRAWS | NO_DISPATCH,
    ),
    "WorldModel": (world_model, rows(observation=[3], action=[2])),
    "WorldModelWrapper": (
        lambda: WorldModelWrapper(
            TensorDictModule(lambda s, a: s + a.sum(-1, True), ["state", "action"], ["next_state"]),
            TensorDictModule(nn.Linear(4, 1), ["next_state"], ["reward"]),
        ),
        rows(state=[4], action=[2]),
    ),
}


@pytest.mark.parametrize("name", SUBJECTS)
def test_module_keeps_its_word(name):
    make, data, *options = SUBJECTS[name]
    torch.manual_seed(0)
    check_module(make(), data, **(options[0] if options else {}))


#: bases, and functions that return another of the subjects
NO_SUBJECT = {
    "ExplorationModule",
    "MCTSScore",
    "MPCPlannerBase",
    "RecurrentModule",
    "AdditiveGaussianWrapper",
    "EGreedyWrapper",
    "OrnsteinUhlenbeckProcessWrapper",
}


def test_no_module_is_left_out():
    exported = {
        name
        for name in ours.__all__
        if inspect.isclass(getattr(ours, name))
        and issubclass(getattr(ours, name), TensorDictModuleBase)
    }
    assert exported == {name.split(",")[0] for name in SUBJECTS} | NO_SUBJECT


# ---------------------------------------------------------------- what is broken


class Base(TensorDictModuleBase):
    in_keys: ClassVar = ["a"]
    out_keys: ClassVar = ["b"]

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, tensordict):
        return tensordict.set("b", self.compute(tensordict["a"]))

    def compute(self, a):
        return a * self.weight


class ReadsMore(Base):
    def forward(self, tensordict):
        return tensordict.set("b", tensordict["a"] + tensordict.get("c", 0.0))


class ReadsLess(Base):
    in_keys: ClassVar = ["a", "c"]


class WritesMore(Base):
    def forward(self, tensordict):
        return super().forward(tensordict).set("scratch", tensordict["a"])


class WritesLess(Base):
    out_keys: ClassVar = ["b", "d"]


class InPlace(Base):
    def compute(self, a):
        return a.mul_(2) * self.weight


class Replaces(Base):
    def forward(self, tensordict):
        return super().forward(tensordict).set("a", tensordict["a"] + 1)


class LosesTheBatch(Base):
    def compute(self, a):
        return a.sum(0)

    def forward(self, tensordict):
        result = TensorDict({"a": tensordict["a"], "b": self.compute(tensordict["a"])})
        return result


class MixesRows(Base):
    def compute(self, a):
        return (a - a.mean(0)) * self.weight


class NeedsABatch(Base):
    def compute(self, a):
        return a.flatten(0).view(len(a), 3) * self.weight


class Branches(Base):
    def compute(self, a):
        return a * self.weight if bool((a > 100).any()) else a * self.weight * 2


class SharesOnCopy(Base):
    def __deepcopy__(self, memo):
        return self


class HidesState(Base):
    def __init__(self):
        super().__init__()
        self.offset = nn.Parameter(torch.zeros(()))

    def compute(self, a):
        return a * self.weight + self.offset

    def load_state_dict(self, state_dict, strict=True):
        return super().load_state_dict({"weight": state_dict["weight"]}, strict=False)


class OneDtype(Base):
    def compute(self, a):
        return (a * self.weight).float()


class Dispatches(Base):
    @dispatch
    def forward(self, tensordict):
        return tensordict.set("b", self.compute(tensordict["a"]) + tensordict.ndim)


@pytest.mark.parametrize(
    ("kind", "message", "options"),
    [
        (ReadsMore, "`b` differs when only `in_keys` are given", {}),
        (ReadsLess, "`c` is in `in_keys` and is not read", {}),
        (WritesMore, "`scratch` is written and is not in `out_keys`", {}),
        (Replaces, "`a` is written and is not in `out_keys`", {}),
        (WritesLess, "`d` is in `out_keys` and is not written", {}),
        (InPlace, "the tensor given at `a` is changed in place", {}),
        (LosesTheBatch, "`b` has shape [3], which does not begin with the batch size [4]", {}),
        (MixesRows, "`b` differs between row 0 alone and in the batch", {}),
        (NeedsABatch, "a call without batch size raises", {}),
        (Branches, "`torch.vmap` raises", {}),
        (SharesOnCopy, "`b` differs after a deep copy was changed", {}),
        (HidesState, "`b` differs for a copy that loaded the state dict", {}),
        (OneDtype, "`b` is torch.float32 for data and module of torch.float64", {}),
        (Dispatches, "`b` differs in a call with tensors", {"dispatch": True, "rows": False}),
        (Base, "a call with tensors raises", {"dispatch": True}),
        (Branches, "the compiled module raises", {"vmap": False, "compile": FULL}),
        (Base, None, {"compile": {"backend": "eager", "fullgraph": True}}),
    ],
)
def test_the_kit_notices(kind, message, options):
    data = rows(a=[3], c=[3])
    options = {"dispatch": False, **options}
    if message is None:
        check_module(kind(), data, **options)
        return
    with pytest.raises(AssertionError, match=re.escape(message)):
        check_module(kind(), data, **options)


def test_data_without_rows_are_refused():
    with pytest.raises(AssertionError, match=r"must be `\[N, ...\]` rows"):
        check_module(Base(), TensorDict({"a": torch.zeros(3)}))
