import copy
import pickle

import pytest
import torch
from tensordict import TensorDict, TensorDictParams
from tensordict.nn import TensorDictModule
from torch import nn
from torch.distributions import Normal

from rl.core import (
    Bounded,
    FusedCategorical,
    MissingKeyError,
    ProbabilisticActor,
    SpecError,
    TanhNormal,
    set_exploration_type,
)
from rl.core.modules import (
    ExplorationType,
    SafeProbabilisticModule,
    SafeProbabilisticTensorDictSequential,
)
from rl.core.modules.actors.compiled import CompiledCall

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # inside torch


@pytest.fixture(autouse=True)
def _fresh():
    torch.compiler.reset()


class Graphs:
    """A backend that counts its graphs."""

    def __init__(self):
        self.count = 0

    def __call__(self, graph, inputs):
        self.count += 1
        return graph.forward


def data(batch=(5,)):
    td = TensorDict(observation=torch.randn(*batch, 3), batch_size=batch)
    return td.set(("given", "scale"), torch.rand(*batch, 2) + 0.1)


def discrete(**kwargs):
    net = TensorDictModule(nn.Linear(3, 2), ["observation"], [("head", "logits")])
    return ProbabilisticActor(
        net,
        in_keys=[("head", "logits")],
        distribution_class=FusedCategorical,
        return_log_prob=True,
        **kwargs,
    )


def gaussian(spec=None):
    """Return a policy of two networks, the scale of whose draw is not computed."""
    return SafeProbabilisticTensorDictSequential(
        TensorDictModule(nn.Linear(3, 4), ["observation"], ["hidden"]),
        TensorDictModule(nn.Linear(4, 2), ["hidden"], ["loc"]),
        SafeProbabilisticModule(
            {"loc": "loc", "scale": ("given", "scale")},
            ["action"],
            spec,
            distribution_class=TanhNormal,
            return_log_prob=True,
        ),
    )


def compiled(actor, **kwargs):
    return actor.compiled(**{"backend": Graphs(), "fullgraph": True, **kwargs})


def same(got, expected):
    assert set(got.keys(True, True)) == set(expected.keys(True, True))
    for key in expected.keys(True, True):
        torch.testing.assert_close(got[key], expected[key])


@pytest.mark.parametrize("make", [discrete, gaussian])
@pytest.mark.parametrize("batch", [(), (5,), (2, 3)])
def test_equals_the_eager_call_in_every_mode(make, batch):
    actor, graphs = make(), Graphs()
    call = compiled(actor, backend=graphs)
    modes = [ExplorationType.RANDOM, ExplorationType.DETERMINISTIC, ExplorationType.MEAN]
    if make is discrete:
        modes.remove(ExplorationType.MEAN)
    for _ in range(2):
        for mode in modes:
            td = data(batch)
            with set_exploration_type(mode):
                torch.manual_seed(0)
                expected = actor(td.clone())
                torch.manual_seed(0)
                got = call(td)
            assert got is td
            same(got, expected)
    assert graphs.count == len(modes)


def test_default_backend_draws_from_the_same_distribution():
    actor, td = gaussian(), data((2000,))
    actor(td)
    with torch.no_grad(), set_exploration_type("random"):
        draw = actor.compiled(fullgraph=True)(td.clone())
    torch.testing.assert_close(draw["loc"], td["loc"])
    torch.testing.assert_close(actor.log_prob(draw), draw["action_log_prob"], atol=1e-3, rtol=1e-3)
    before = (draw["action"].atanh() - td["loc"]) / td["given", "scale"]
    assert before.median().abs() < 0.1
    assert (before.abs().median() - 0.6745).abs() < 0.05


def test_changed_parameters_are_seen():
    actor, td = discrete(), data()
    call = compiled(actor)
    call(td)
    with torch.no_grad():
        for parameter in actor.parameters():
            parameter.mul_(-2.0)
    same(call(td.clone()), actor(td.clone()))
    other = TensorDictParams(TensorDict.from_module(discrete()).clone())
    with other.to_module(actor):
        same(call(td.clone()), actor(td.clone()))
    same(call(td.clone()), actor(td.clone()))


def test_gradients_flow():
    actor, td = gaussian(), data()
    call = compiled(actor)
    with set_exploration_type("random"):
        torch.manual_seed(0)
        call(td.clone())["action_log_prob"].sum().backward()
        got = [parameter.grad for parameter in actor.parameters()]
        actor.zero_grad()
        torch.manual_seed(0)
        actor(td.clone())["action_log_prob"].sum().backward()
    for one, parameter in zip(got, actor.parameters(), strict=True):
        torch.testing.assert_close(one, parameter.grad)


def test_a_replaced_member_and_selected_keys_are_seen():
    actor, td = discrete(), data()
    call = compiled(actor)
    call(td.clone())
    actor.module[0] = TensorDictModule(nn.Linear(3, 2), ["observation"], [("head", "logits")])
    same(call(td.clone()), actor(td.clone()))
    actor.select_out_keys("action")
    assert set(call(td.clone()).keys()) == {"observation", "given", "action"}


def test_hooks_run():
    actor, td, calls = discrete(), data(), []
    call = compiled(actor, fullgraph=False, backend="eager")
    call(td.clone())
    for module in (actor, actor[0]):
        handle = module.register_forward_hook(lambda *_: calls.append(1))
        same(call(td.clone()), actor(td.clone()))
        handle.remove()
        assert len(calls) == 2
        calls.clear()
    call(td.clone())
    assert not calls


def test_a_missing_input_raises():
    with pytest.raises(MissingKeyError, match="observation"):
        compiled(discrete())(TensorDict(obs=torch.zeros(5, 3), batch_size=[5]))
    with pytest.raises(MissingKeyError, match="scale"):
        compiled(gaussian())(data().exclude("given"))


def test_a_draw_that_does_not_fit_the_spec_raises():
    actor = gaussian(spec=Bounded(-1, 1, (3,)))
    call = compiled(actor)
    for _ in range(2):
        with pytest.raises(SpecError, match="action"):
            call(data())


def test_other_distributions_take_the_road_of_torch():
    net = TensorDictModule(nn.Linear(3, 2), ["observation"], ["loc"])
    actor = ProbabilisticActor(
        net, in_keys=["loc"], distribution_class=Normal, distribution_kwargs={"scale": 1.0}
    )
    graphs, td = Graphs(), data()
    call = actor.compiled(backend=graphs)
    same(call(td.clone()), actor(td.clone()))
    assert graphs.count


def test_tensors_by_position():
    actor, td = discrete(), data()
    got = actor.compiled(backend="eager")(td["observation"])
    for one, expected in zip(got, actor(td["observation"]), strict=True):
        torch.testing.assert_close(one, expected)


def test_in_place_and_copies():
    actor, td, graphs = discrete(), data(), Graphs()
    expected = actor(td.clone())
    actor.compile(backend=graphs, fullgraph=True)
    same(actor(td.clone()), expected)
    assert graphs.count == 1
    with torch.no_grad():
        for parameter in actor.parameters():
            parameter.zero_()
    assert actor(td.clone())["head", "logits"].count_nonzero() == 0


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_is_compiled_for_itself(copied):
    actor, td = discrete(), data()
    actor.compile(backend="eager")
    expected = actor(td.clone())
    other = copied(actor)
    with torch.no_grad():
        for parameter in actor.parameters():
            parameter.zero_()
    same(other(td.clone()), expected)
    assert isinstance(other._compiled_call_impl, CompiledCall)


def test_is_part_of_a_graph_around_it():
    actor, td, graphs = discrete(), data(), Graphs()
    expected = actor(td.clone())
    actor.compile(backend="eager")
    around = torch.compile(lambda td: actor(td)["action"] + 1, backend=graphs, fullgraph=True)
    assert torch.equal(around(td.clone()), expected["action"] + 1)
    assert graphs.count == 1


def test_any_number_of_policies_is_compiled():
    td = data()
    for _ in range(12):
        actor = discrete()
        same(compiled(actor)(td.clone()), actor(td.clone()))


def test_a_network_of_other_outputs_takes_the_general_road():
    class Odd(nn.Module):
        def forward(self, x):
            return {"logits": x}

    actor = ProbabilisticActor(
        TensorDictModule(Odd(), ["observation"], ["logits"]),
        in_keys=["logits"],
        distribution_class=FusedCategorical,
    )
    td = data()
    same(CompiledCall(actor, {"backend": "eager"})(td.clone()), actor(td.clone()))
