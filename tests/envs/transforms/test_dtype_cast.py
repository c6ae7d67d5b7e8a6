import torch
from tensordict import TensorDict

from rl.core import Composite, Unbounded
from rl.envs.transformed import TransformedEnv
from rl.envs.transforms import DoubleToFloat, DTypeCastTransform


def test_every_float64_leaf_including_reward_and_action(counting):
    base = counting()
    base.reward_spec = Unbounded((1,), dtype=torch.float64)
    base.action_spec = Unbounded((2,), dtype=torch.float64)
    seen = []
    step = base._step

    def wide(tensordict):
        seen.append(tensordict["action"].dtype)
        after = step(tensordict)
        return after.set("reward", after["reward"].double())

    base._step = wide
    env = TransformedEnv(base, DoubleToFloat())
    data = env.rollout(2)
    assert seen == [torch.float64] * 2
    assert data["action"].dtype == env.action_spec.dtype == torch.float32
    assert data["next", "reward"].dtype == env.reward_spec.dtype == torch.float32
    assert data["double"].dtype == env.observation_spec["double"].dtype == torch.float32
    assert env.transform.in_keys == ["double", "reward"]
    assert env.transform.in_keys_inv == ["action"]


def test_given_keys_only():
    cast = DTypeCastTransform(torch.float64, torch.float32, in_keys=["a"], in_keys_inv=["b"])
    data = TensorDict(
        {"a": torch.ones(1).double(), "b": torch.ones(1), "c": torch.ones(1).double()}
    )
    inner = cast.inv(data)
    assert inner["b"].dtype == torch.float64
    assert data["b"].dtype == torch.float32
    data = cast(data)
    assert (data["a"].dtype, data["c"].dtype) == (torch.float32, torch.float64)


def test_bounds_are_cast():
    cast = DTypeCastTransform(torch.float32, torch.float64, in_keys=["a"])
    spec = cast.transform_observation_spec(Composite(a=Unbounded((2,))))
    assert spec["a"].dtype == torch.float64


def test_buffers_cast_every_entry_of_the_dtype():
    data = TensorDict({"a": torch.ones(1).double(), "next": {"a": torch.ones(1).double()}})
    assert DoubleToFloat()(data)["next", "a"].dtype == torch.float32
