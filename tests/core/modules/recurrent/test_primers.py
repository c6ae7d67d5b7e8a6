import pytest
import torch
from tensordict.nn import TensorDictModule, TensorDictSequential
from torch import nn

from rl.core import Compose, Transform
from rl.core.errors import MissingDependencyError, SpecError
from rl.core.modules import (
    GRUModule,
    LSTMModule,
    get_env_transforms_from_module,
    get_primers_from_module,
)
from rl.core.modules.recurrent import primers
from rl.core.registry import Registry


class Primer(Transform):
    """Stands in for the transform of rl-envs."""

    def __init__(self, spec, *, expand_specs=False):
        super().__init__(out_keys=list(spec.keys(True, True)))
        self.spec, self.expand_specs = spec, expand_specs


class Tracker(Transform):
    def __init__(self, init_key):
        super().__init__()
        self.init_key = init_key


@pytest.fixture
def _transforms(monkeypatch):
    registry = Registry("rl.transforms.none")
    monkeypatch.setattr(primers, "TRANSFORMS", registry)
    registry.register("TensorDictPrimer", Primer)
    registry.register("InitTracker", Tracker)


def gru(**settings):
    return GRUModule(3, 4, **{"in_key": "x", "out_key": "y", **settings})


@pytest.mark.usefixtures("_transforms")
def test_a_primer_of_the_state_spec():
    primer = gru(num_layers=2).make_tensordict_primer()
    assert primer.expand_specs
    assert primer.spec["recurrent_state"].shape == torch.Size([2, 4])
    # it follows its env, not the network
    elsewhere = gru(device="meta")
    assert elsewhere.make_tensordict_primer().spec["recurrent_state"].device.type == "cpu"
    assert elsewhere.initial_state([2])["recurrent_state"].is_meta
    nested = gru(in_key=None, in_keys=["x", ("a", "h")])
    assert nested.make_tensordict_primer().spec["a", "h"].shape == torch.Size([1, 4])


@pytest.mark.usefixtures("_transforms")
def test_projected_states():
    spec = LSTMModule(3, 4, proj_size=2, in_key="x", out_key="y").make_tensordict_primer().spec
    assert spec["recurrent_state_h"].shape == torch.Size([1, 2])
    assert spec["recurrent_state_c"].shape == torch.Size([1, 4])


@pytest.mark.usefixtures("_transforms")
def test_all_of_a_module():
    head = TensorDictModule(nn.Linear(4, 2), ["y"], ["z"])
    one = TensorDictSequential(gru(), head)
    assert get_primers_from_module(one).out_keys == ["recurrent_state"]
    two = TensorDictSequential(gru(), LSTMModule(3, 4, in_key="x", out_key="y"))
    both = get_primers_from_module(two)
    assert isinstance(both, Compose)
    assert len(both) == 2
    shared = gru()
    assert get_primers_from_module(nn.ModuleList([shared, shared])).out_keys == ["recurrent_state"]


@pytest.mark.usefixtures("_transforms")
def test_wrapped_modules_count_once():
    class Own(nn.Module):
        def make_tensordict_primer(self):
            return Primer(gru().state_spec())

        def forward(self, x):
            return x

    wrapped = TensorDictModule(Own(), ["x"], ["y"])
    assert get_primers_from_module(wrapped).out_keys == ["recurrent_state"]


@pytest.mark.usefixtures("_transforms")
def test_one_key_for_two_states():
    with pytest.raises(SpecError, match="its own `in_keys`"):
        get_primers_from_module(nn.ModuleList([gru(), gru()]))


@pytest.mark.usefixtures("_transforms")
def test_nothing_to_prime():
    with pytest.warns(UserWarning, match="warn=False"):
        assert get_primers_from_module(nn.Linear(1, 1)) is None
    assert isinstance(get_env_transforms_from_module(nn.Linear(1, 1)), Tracker)


@pytest.mark.usefixtures("_transforms")
def test_a_part_that_fails():
    class Broken(nn.Module):
        def make_tensordict_primer(self):
            raise ValueError("no shape yet")

    both = nn.ModuleList([Broken(), gru()])
    with pytest.raises(ValueError, match="no shape yet"):
        get_primers_from_module(both)
    with pytest.warns(UserWarning, match=r"`Broken.make_tensordict_primer` failed.*no shape yet"):
        primer = get_primers_from_module(both, strict=False)
    assert primer.out_keys == ["recurrent_state"]


@pytest.mark.usefixtures("_transforms")
def test_env_transforms():
    chain = get_env_transforms_from_module(gru())
    assert [type(t) for t in chain] == [Tracker, Primer]
    other = gru(in_key=None, in_keys=["x", "h", ("a", "first")])
    with pytest.raises(SpecError, match='pass `init_key="first"`'):
        get_env_transforms_from_module(other)
    assert get_env_transforms_from_module(other, init_key="first")[0].init_key == "first"


def test_without_rl_envs(monkeypatch):
    monkeypatch.setattr(primers, "TRANSFORMS", Registry("rl.transforms.none"))
    for call in (
        gru().make_tensordict_primer,
        lambda: get_env_transforms_from_module(nn.Linear(1, 1)),
    ):
        with pytest.raises(MissingDependencyError, match='pip install "rl-envs"'):
            call()
