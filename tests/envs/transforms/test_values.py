"""Transforms of single values: scaling, clipping, signs, shapes, functions."""

import pytest
import torch
from tensordict import TensorDict

from rl.core import Composite, MissingKeyError, SpecError, Unbounded
from rl.envs.transformed import TransformedEnv
from rl.envs.transforms import (
    BinarizeReward,
    ClipTransform,
    DeviceCastTransform,
    FiniteTensorDictCheck,
    FlattenObservation,
    PermuteTransform,
    RewardClipping,
    RewardScaling,
    SignTransform,
    SqueezeTransform,
    Stack,
    TargetReturn,
    UnaryTransform,
    UnsqueezeTransform,
)


def _reward(transform, value):
    return transform(TensorDict({"reward": torch.tensor([value])}))["reward"].item()


def test_reward_scaling(counting):
    assert _reward(RewardScaling(1.0, 2.0), 3.0) == 7
    assert _reward(RewardScaling(1.0, 2.0, standard_normal=True), 3.0) == 1
    assert _reward(RewardScaling(1, 2), 3.0) == 7
    data = TransformedEnv(counting(), RewardScaling(0.0, 2.0, out_keys=["scaled"])).rollout(2)
    assert data["next", "scaled"].flatten().tolist() == [2, 4]
    assert data["next", "reward"].flatten().tolist() == [1, 2]


def test_every_reward_of_the_env(team):
    data = TransformedEnv(team(), RewardScaling(0.0, 2.0)).rollout(1)
    assert data["next", "agents", "reward"].flatten().tolist() == [2, 4]


def test_reward_clipping(counting):
    assert [_reward(RewardClipping(-1, 2), x) for x in (-3.0, 0.5, 3.0)] == [-1, 0.5, 2]
    assert _reward(RewardClipping(clamp_max=1), -9.0) == -9
    space = TransformedEnv(counting(), RewardClipping(-1, 2)).reward_spec.space
    assert (space.low.item(), space.high.item()) == (-1, 2)
    with pytest.raises(SpecError, match="give `clamp_min`, `clamp_max` or both"):
        RewardClipping()
    with pytest.raises(SpecError, match="swap them"):
        RewardClipping(1, -1)
    with pytest.raises(MissingKeyError, match="Did you mean `reward`"):
        TransformedEnv(counting(), RewardClipping(-1, 1, in_keys=["rewards"]))


def test_sign_and_binarize():
    assert [_reward(SignTransform(["reward"]), x) for x in (-3.0, 0.0, 2.0)] == [-1, 0, 1]
    assert [_reward(BinarizeReward(), x) for x in (-3.0, 0.0, 2.0)] == [0, 0, 1]
    inner = SignTransform(in_keys_inv=["a"]).inv(TensorDict({"a": torch.tensor([-2.0])}))
    assert inner["a"].item() == -1


def test_clip():
    clip = ClipTransform(["reward"], in_keys_inv=["a"], low=-1, high=torch.tensor(2.0))
    assert [_reward(clip, x) for x in (-3.0, 0.5, 3.0)] == [-1, 0.5, 2]
    assert clip.inv(TensorDict({"a": torch.tensor([9.0])}))["a"].item() == 2
    with pytest.raises(SpecError, match="give `low`, `high` or both"):
        ClipTransform(["a"])
    with pytest.raises(SpecError, match="swap them"):
        ClipTransform(["a"], low=1, high=0)


def test_finite_check():
    data = TensorDict({"a": torch.ones(2), "g": {"b": torch.tensor([1.0, float("nan")])}})
    with pytest.raises(SpecError, match=r"`\('g', 'b'\)` holds 1 values"):
        FiniteTensorDictCheck()(data)


def test_target_return(counting):
    data = TransformedEnv(counting(), TargetReturn(10.0)).rollout(3)
    assert data["target_return"].flatten().tolist() == [10, 9, 7]
    assert data["next", "target_return"].flatten().tolist() == [9, 7, 4]
    data = TransformedEnv(counting(), TargetReturn(10.0, mode="constant")).rollout(3)
    assert (data["next", "target_return"] == 10).all()
    env = TransformedEnv(counting((2,)), TargetReturn(10.0))
    root = env.step_mdp(env.rand_step(env.reset()))
    root = env.reset(root.set("_reset", torch.tensor([[True], [False]])))
    assert root["target_return"].flatten().tolist() == [10, 9]
    with pytest.raises(SpecError, match='give "reduce" or "constant"'):
        TargetReturn(1.0, mode="other")
    with pytest.raises(SpecError, match="give one per reward"):
        TargetReturn(1.0, out_keys=["a", "b"])
    with pytest.raises(NotImplementedError, match="Reward2GoTransform"):
        TargetReturn(1.0)(TensorDict())


def test_shapes_there_and_back():
    data = TensorDict({"x": torch.arange(24.0).view(2, 3, 4)}, [2])
    for there in (
        UnsqueezeTransform(-2, in_keys=["x"], in_keys_inv=["x"]),
        UnsqueezeTransform(0, in_keys=["x"], in_keys_inv=["x"], allow_positive_dim=True),
        PermuteTransform((-1, -2), in_keys=["x"], in_keys_inv=["x"]),
    ):
        moved = there(data.copy())
        assert moved["x"].shape != data["x"].shape
        assert torch.equal(there.inv(moved)["x"], data["x"])
    squeeze = SqueezeTransform(-1, in_keys=["x"], in_keys_inv=["x"])
    assert squeeze(TensorDict({"x": torch.ones(2, 1)}, [2]))["x"].shape == (2,)
    assert squeeze.inv(TensorDict({"x": torch.ones(2)}, [2]))["x"].shape == (2, 1)


def test_permute_three_dimensions_there_and_back():
    x = torch.arange(24.0).view(2, 3, 4)
    move = PermuteTransform((-1, -3, -2), in_keys=["x"], in_keys_inv=["x"])
    moved = move(TensorDict({"x": x}))
    assert moved["x"].shape == (4, 2, 3)
    assert torch.equal(move.inv(moved)["x"], x)


def test_bad_dimensions():
    with pytest.raises(SpecError, match="allow_positive_dim=True"):
        UnsqueezeTransform(0, in_keys=["x"])
    with pytest.raises(SpecError, match="needs `dim`"):
        SqueezeTransform(in_keys=["x"])
    with pytest.raises(SpecError, match="allow_positive_dim=True"):
        FlattenObservation(0, -1)
    with pytest.raises(SpecError, match="every one of the last dimensions once"):
        PermuteTransform((-1, -3), in_keys=["x"])
    squeeze = SqueezeTransform(-1, in_keys_inv=["x"])
    spec = Composite(full_action_spec=Composite(x=Unbounded((3,))), full_state_spec=Composite())
    with pytest.raises(SpecError, match="cannot remove it"):
        squeeze.transform_input_spec(spec)


def test_stack():
    data = TensorDict({"a": torch.ones(3), "b": torch.zeros(3)})
    stack = Stack(["a", "b"], "c", "c", ["a", "b"], dim=-2)
    data = stack(data)
    assert list(data.keys()) == ["c"]
    assert data["c"].tolist() == [[1, 1, 1], [0, 0, 0]]
    assert stack.inv(data)["a"].tolist() == [1, 1, 1]
    with pytest.raises(SpecError, match="allow_positive_dim=True"):
        Stack(["a"], "b", dim=0)
    with pytest.raises(SpecError, match="both `in_key_inv` and `out_keys_inv`"):
        Stack(["a"], "b", in_key_inv="c")


def test_stack_of_env_entries(counting):
    with pytest.raises(MissingKeyError, match="Did you mean `position`"):
        TransformedEnv(counting(), Stack(["positions"], "c"))
    with pytest.raises(SpecError, match="stack observations and rewards apart"):
        TransformedEnv(counting(), Stack(["position", "reward"], "c"))


def test_unary(counting):
    more = UnaryTransform(["a"], ["b"], ["c"], ["d"], fn=lambda x: x + 1, inv_fn=lambda x: x - 1)
    data = TensorDict({"a": torch.ones(1), "d": torch.ones(1)})
    assert more.inv(data)["c"].item() == 0
    assert more(data)["b"].item() == 2
    with pytest.raises(SpecError, match="no `fn`"):
        UnaryTransform(["a"], ["b"])
    with pytest.raises(SpecError, match="no `inv_fn`"):
        UnaryTransform([], [], ["a"], ["b"])
    with pytest.raises(MissingKeyError, match="Did you mean `observation`"):
        TransformedEnv(counting(), UnaryTransform(["observations"], ["b"], fn=torch.sign))


def test_device_cast(counting):
    env = TransformedEnv(counting(), DeviceCastTransform("cpu"))
    assert env.device == env.reset().device == torch.device("cpu")
    one = DeviceCastTransform("cpu", in_keys=["a"])(TensorDict({"a": torch.ones(1)}))
    assert one.device is None
