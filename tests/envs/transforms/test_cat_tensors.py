import pytest
import torch
from tensordict import TensorDict

from rl.core import Bounded, Compose, MissingKeyError, RLError
from rl.envs.transformed import TransformedEnv
from rl.envs.transforms import CatTensors, SelectTransform, StepCounter


def _data():
    return TensorDict({"a": torch.zeros(2), "b": torch.ones(2), "s": torch.tensor(3.0)})


def test_sorts_and_deletes():
    data = CatTensors(["b", "a"], "c")(_data())
    assert data["c"].tolist() == [0, 0, 1, 1]
    assert sorted(data.keys()) == ["c", "s"]


def test_keeps_order_and_entries():
    data = CatTensors(["b", "a"], "c", sort=False, del_keys=False)(_data())
    assert data["c"].tolist() == [1, 1, 0, 0]
    assert sorted(data.keys()) == ["a", "b", "c", "s"]


def test_scalars_get_a_dimension():
    data = CatTensors(["b", "s"], "c", sort=False, unsqueeze_if_oor=True)(_data())
    assert data["c"].tolist() == [1, 1, 3]


def test_default_is_every_observation(counting):
    chain = Compose(SelectTransform("observation", "position"), StepCounter(), CatTensors())
    env = TransformedEnv(counting(), chain)
    assert sorted(env.observation_spec.keys()) == ["observation_vector", "step_count"]
    assert env.reset()["observation_vector"].shape == (5,)


def test_bounds_are_joined(counting):
    env = TransformedEnv(counting(), CatTensors(["position"], "p", del_keys=False))
    assert isinstance(env.observation_spec["p"], Bounded)


def test_bad_input(counting):
    with pytest.raises(MissingKeyError, match="Did you mean `observation`"):
        TransformedEnv(counting(), CatTensors(["observations"]))
    with pytest.raises(MissingKeyError, match="`z`"):
        CatTensors(["z"])(_data())
    with pytest.raises(RLError, match=r"pass `in_keys=\[\.\.\.\]`"):
        CatTensors()(_data())
