import pytest
import torch
from tensordict import TensorDict
from tensordict.nn import TensorDictModule, set_skip_existing
from torch import nn

from rl.core.errors import MissingKeyError, SpecError
from rl.core.modules import (
    SafeModule,
    SafeSequential,
)
from rl.core.specs import Bounded, Composite, Unbounded


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
