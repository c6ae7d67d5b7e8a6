import pytest
import torch
from tensordict import TensorDict
from tensordict.nn import TensorDictModule, set_skip_existing
from torch import nn

from rl.core.errors import MissingKeyError, RLError, SpecError
from rl.core.modules import (
    Actor,
    SafeModule,
    SafeSequential,
    ValueOperator,
    ensure_tensordict_compatible,
    is_tensordict_compatible,
)
from rl.core.specs import Bounded, Composite, OneHot, Unbounded


def data():
    return TensorDict(obs=torch.randn(5, 3), batch_size=[5])


def module(**kwargs):
    return SafeModule(nn.Linear(3, 2), ["obs"], ["a"], **kwargs)


def test_writes_in_place():
    td = data()
    assert module()(td) is td
    assert td["a"].shape == (5, 2)


def test_planned_and_general_results_are_equal():
    subject, td = module(), data()
    assert subject._plan is not None
    other = TensorDictModule(subject.module, ["obs"], ["a"])
    assert torch.equal(subject(td.clone())["a"], other(td.clone())["a"])


def test_tensors_instead_of_a_tensordict():
    subject, td = module(), data()
    expected = subject(td)["a"]
    assert torch.equal(subject(obs=td["obs"]), expected)
    assert torch.equal(subject(td["obs"]), expected)


def test_named_arguments_and_several_outputs():
    subject = SafeModule(lambda x, y: (x + y, x - y), {"y": "b", "x": "a"}, ["sum", ("n", "diff")])
    td = subject(TensorDict(a=torch.tensor(3.0), b=torch.tensor(1.0)))
    assert (td["sum"].item(), td["n", "diff"].item()) == (4.0, 2.0)


def test_safe_projects():
    subject = module(spec=Bounded(-0.01, 0.01, (2,)), safe=True)
    assert subject(data())["a"].abs().max() <= 0.01


def test_skip_existing():
    td = data().set("a", torch.full((5, 2), 7.0))
    with set_skip_existing(True):
        module()(td)
    assert (td["a"] == 7).all()


def test_specs_must_fit():
    with pytest.raises(SpecError, match="give the network as many outputs"):
        module(spec=Unbounded(3))(data())
    with pytest.raises(SpecError, match="name the entries of the `Composite`"):
        module(spec=Composite(b=Unbounded(2)))
    with pytest.raises(SpecError, match=r"give a `Composite\({key: spec"):
        SafeModule(nn.Linear(3, 2), ["obs"], ["a", "b"], spec=Unbounded(2))
    with pytest.raises(SpecError, match="pass `spec=`"):
        module(safe=True)


def test_spec_can_be_set():
    subject = module()
    subject.spec = Unbounded(3)
    with pytest.raises(SpecError, match="expects"):
        subject(data())


def test_missing_key_names_key_module_and_keys():
    with pytest.raises(MissingKeyError) as caught:
        module()(TensorDict(pixels=torch.zeros(5), batch_size=[5]))
    assert str(caught.value) == (
        "`obs` is missing: `SafeModule` reads ['obs'], the TensorDict has ['pixels']. "
        "Rename `in_keys`, or write the entry before this module."
    )


def test_key_error_of_the_module_itself_passes():
    def broken(x):
        raise KeyError("inner")

    with pytest.raises(KeyError, match="inner"):
        SafeModule(broken, ["obs"], ["a"])(data())


class TestSequential:
    def chain(self):
        spec = Bounded(-1, 1, (4,))
        return SafeSequential(
            SafeModule(nn.Linear(3, 4), ["obs"], ["hidden"], spec=spec),
            SafeModule(nn.Linear(4, 2), ["hidden"], ["a"]),
        )

    def test_keys_and_spec(self):
        chain = self.chain()
        assert (chain.in_keys, chain.out_keys) == (["obs"], ["hidden", "a"])
        assert chain.spec["hidden"] == Bounded(-1, 1, (4,))
        assert chain.spec["a"] is None
        assert chain(data())["a"].shape == (5, 2)

    def test_tensors(self):
        hidden, a = self.chain()(obs=torch.zeros(5, 3))
        assert (hidden.shape, a.shape) == ((5, 4), (5, 2))

    def test_missing_key(self):
        with pytest.raises(MissingKeyError, match="`obs` is missing"):
            self.chain()(TensorDict(batch_size=[5]))

    def test_partial_tolerant(self):
        chain = SafeSequential(
            SafeModule(nn.Linear(3, 4), ["obs"], ["hidden"]),
            SafeModule(nn.Linear(4, 2), ["other"], ["a"]),
            partial_tolerant=True,
        )
        assert set(chain(data()).keys()) == {"obs", "hidden"}


class TestActor:
    def test_logits_written_as_an_action(self):
        actor = Actor(nn.Linear(3, 4), ["obs"], spec=OneHot(4))
        with pytest.raises(SpecError, match=r"take the greatest \(`QValueActor`\)"):
            actor(data())
        projected = Actor(nn.Linear(3, 4), ["obs"], spec=OneHot(4), safe=True)(data())["action"]
        assert (projected.long().sum(-1) == 1).all()

    def test_whole_floats_are_actions(self):
        actor = Actor(lambda x: torch.eye(4)[[0] * 5], ["obs"], spec=OneHot(4))
        assert actor(data())["action"].shape == (5, 4)

    def test_defaults(self):
        actor = Actor(nn.Linear(3, 2), spec=Bounded(-1, 1, (2,)))
        assert (actor.in_keys, actor.out_keys) == (["observation"], ["action"])
        assert actor.spec["action"] == Bounded(-1, 1, (2,))

    def test_leaf_spec_describes_the_first_output(self):
        actor = Actor(
            lambda x: (x, x), out_keys=["action", "extra"], spec=Unbounded(3), in_keys=["obs"]
        )
        assert actor.spec["extra"] is None
        assert actor(data())["extra"].shape == (5, 3)

    def test_safe(self):
        actor = Actor(nn.Linear(3, 2), ["obs"], spec=Bounded(-0.1, 0.1, (2,)), safe=True)
        assert actor(data())["action"].abs().max() <= 0.1


class TestValueOperator:
    def test_out_key_follows_the_inputs(self):
        assert ValueOperator(nn.Linear(3, 1)).out_keys == ["state_value"]
        critic = ValueOperator(nn.Bilinear(3, 2, 1), ["observation", "action"])
        assert critic.out_keys == ["state_action_value"]
        td = TensorDict(observation=torch.zeros(5, 3), action=torch.zeros(5, 2), batch_size=[5])
        assert critic(td)["state_action_value"].shape == (5, 1)

    def test_out_key_can_be_chosen(self):
        assert ValueOperator(nn.Linear(3, 1), out_keys=["v"]).out_keys == ["v"]


class TestCompatibility:
    def test_modules_of_tensors_are_wrapped(self):
        wrapped = ensure_tensordict_compatible(nn.Linear(3, 2))
        assert (wrapped.in_keys, wrapped.out_keys) == (["observation"], ["action"])
        assert is_tensordict_compatible(wrapped)
        assert not is_tensordict_compatible(nn.Linear(3, 2))

    def test_tensordict_modules_pass(self):
        subject = module()
        assert ensure_tensordict_compatible(subject, ["obs"]) is subject

    def test_keys_that_differ(self):
        with pytest.raises(RLError, match="leave `in_keys` out"):
            ensure_tensordict_compatible(module(), ["pixels"])

    def test_wrong_number_of_inputs(self):
        with pytest.raises(RLError, match="Give one key of `in_keys` per input"):
            ensure_tensordict_compatible(nn.Bilinear(3, 2, 1), ["obs"])
