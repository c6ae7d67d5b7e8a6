import pytest
import torch
from tensordict import TensorDict

from rl.core import Bounded, Composite, ShapeError, SpecError, Unbounded
from rl.envs.testing import CountingEnv
from rl.envs.transformed import TransformedEnv
from rl.envs.transforms import TensorDictPrimer


def test_zero_at_reset_then_what_the_policy_writes(counting):
    env = TransformedEnv(counting((2,)), TensorDictPrimer(hidden=Unbounded((3,))))
    assert env.full_state_spec["hidden"].shape == (2, 3)

    def policy(root):
        root.set(("next", "hidden"), root["hidden"] + 1)
        return env.rand_action(root)

    data = env.rollout(3, policy)
    assert data["hidden"][0, :, 0].tolist() == [0, 1, 2]
    assert data["next", "hidden"][0, :, 0].tolist() == [1, 2, 3]


def test_carries_the_value_along(counting):
    primer = TensorDictPrimer({"goal": Unbounded((1,))}, default_value=7.0)
    data = TransformedEnv(counting(), primer).rollout(3)
    assert (data["next", "goal"] == 7).all()


def test_random_values_stay_in_the_spec(counting):
    primer = TensorDictPrimer(goal=Bounded(3.0, 4.0, (1,)), random=True)
    assert 3 <= TransformedEnv(counting(), primer).reset()["goal"].item() <= 4


def test_defaults_per_key_and_nested(counting):
    primers = Composite(a=Unbounded((2,)), g=Composite(b=Unbounded((1,))))
    primer = TensorDictPrimer(
        primers, default_value={"a": 1.0, ("g", "b"): lambda: torch.full((1,), 2.0)}
    )
    root = TransformedEnv(counting((3,)), primer).reset()
    assert (root["a"] == 1).all()
    assert (root["g", "b"] == 2).all()
    assert root["g", "b"].shape == (3, 1)


def test_one_call_for_all():
    primer = TensorDictPrimer(
        a=Unbounded((2,)),
        default_value=lambda reset=None: TensorDict({"a": torch.full((2,), 5.0)}),
        single_default_value=True,
    )
    assert primer._reset(None, TensorDict())["a"].tolist() == [5, 5]


def test_partial_reset(counting):
    env = TransformedEnv(counting((2,)), TensorDictPrimer(hidden=Unbounded((1,))))
    root = env.reset().set("hidden", torch.ones(2, 1))
    root = env.reset(root.set("_reset", torch.tensor([[True], [False]])))
    assert root["hidden"].flatten().tolist() == [0, 1]


def test_as_a_module_it_fills_what_is_absent():
    primer = TensorDictPrimer(a=Unbounded((2,)), b=Unbounded((1,)))
    data = primer(TensorDict({"b": torch.ones(4, 1)}, [4]))
    assert data["a"].shape == (4, 2)
    assert (data["b"] == 1).all()


def test_specs_given_are_not_changed(counting):
    spec = Composite(hidden=Unbounded((3,)))
    TransformedEnv(counting((2,)), TensorDictPrimer(spec))
    assert spec == Composite(hidden=Unbounded((3,)))


def test_entries_follow_the_device_of_the_env():
    env = TransformedEnv(
        CountingEnv(device="cpu"), TensorDictPrimer(hidden=Unbounded((3,), device="meta"))
    )
    assert env.full_state_spec["hidden"].device.type == "cpu"
    assert env.reset()["hidden"].tolist() == [0, 0, 0]


def test_bad_input(counting):
    with pytest.raises(SpecError, match="name them"):
        TensorDictPrimer()
    with pytest.raises(SpecError, match="not both"):
        TensorDictPrimer(a=Unbounded((1,)), random=True, default_value=1.0)
    with pytest.raises(ShapeError, match="pass `expand_specs=True`"):
        TransformedEnv(counting((2,)), TensorDictPrimer(a=Unbounded((3,)), expand_specs=False))
