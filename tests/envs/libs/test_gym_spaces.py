import gymnasium
import numpy as np
import pytest
import torch

from rl.core import (
    Binary,
    Bounded,
    Categorical,
    Composite,
    MultiCategorical,
    MultiOneHot,
    NonTensor,
    OneHot,
    SpecError,
    Unbounded,
)
from rl.envs.libs.gym_codecs import codec_of, register_gym_spec_conversion
from rl.envs.libs.gym_spaces import gym_space_to_spec, leaf_codecs

S = gymnasium.spaces


@pytest.mark.parametrize(
    ("space", "kind", "shape", "dtype"),
    [
        (S.Discrete(3), OneHot, (3,), torch.int64),
        (S.Discrete(3, start=2), OneHot, (3,), torch.int64),
        (S.MultiDiscrete([2, 3]), MultiOneHot, (5,), torch.int64),
        (S.MultiDiscrete([3, 3]), OneHot, (2, 3), torch.int64),
        (S.MultiBinary(4), Binary, (4,), torch.int8),
        (S.MultiBinary((2, 3)), Binary, (2, 3), torch.int8),
        (S.Box(-1, 1, (3,)), Bounded, (3,), torch.float32),
        (S.Box(-1, 1, (3,), dtype=np.float64), Bounded, (3,), torch.float64),
        (S.Box(-np.inf, np.inf, (3,)), Unbounded, (3,), torch.float32),
        (S.Box(0, 255, (4, 4, 3), dtype=np.uint8), Unbounded, (4, 4, 3), torch.uint8),
        (S.Box(0, 9, (2,), dtype=np.int64), Bounded, (2,), torch.int64),
        (S.Sequence(S.Box(-1, 1, (2,)), stack=True), Bounded, (-1, 2), torch.float32),
    ],
)
def test_spec_of_space(space, kind, shape, dtype):
    spec = gym_space_to_spec(space)
    assert isinstance(spec, kind)
    assert spec.shape == torch.Size(shape)
    assert spec.dtype == dtype


@pytest.mark.parametrize(
    ("space", "kind", "shape"),
    [
        (S.Discrete(3), Categorical, ()),
        (S.MultiDiscrete([2, 3]), MultiCategorical, (2,)),
        (S.MultiDiscrete([3, 3]), Categorical, (2,)),
    ],
)
def test_categorical_encoding(space, kind, shape):
    spec = gym_space_to_spec(space, categorical_action_encoding=True)
    assert isinstance(spec, kind)
    assert spec.shape == torch.Size(shape)


def test_limits_are_kept():
    low, high = np.array([-1, -np.inf], np.float32), np.array([1, np.inf], np.float32)
    spec = gym_space_to_spec(S.Box(low, high))
    assert spec.space.low.tolist() == [-1, -np.inf]
    assert spec.space.high.tolist() == [1, np.inf]


def test_float32_on_request():
    space = S.Box(-1, 1, (2,), dtype=np.float64)
    assert gym_space_to_spec(space, float32=True).dtype == torch.float32
    assert codec_of(space, float32=True).encode(np.ones(2)).dtype == np.float32


def test_dict_is_a_composite():
    space = S.Dict(a=S.Box(-1, 1, (2,)), b=S.Dict(c=S.Discrete(2)))
    spec = gym_space_to_spec(space)
    assert isinstance(spec, Composite)
    assert set(spec.keys(True, True)) == {"a", ("b", "c")}
    assert isinstance(spec["b", "c"], OneHot)
    assert [key for key, _, _ in leaf_codecs(space, None)] == ["a", ("b", "c")]
    assert [key for key, _, _ in leaf_codecs(space, "action")] == [
        ("action", "a"),
        ("action", "b", "c"),
    ]


def test_tuple_stacks_its_members():
    spec = gym_space_to_spec(S.Tuple((S.Box(-1, 1, (2,)), S.Box(-2, 2, (2,)))))
    assert spec.shape == torch.Size([2, 2])
    codec = codec_of(S.Tuple((S.Box(-1, 1, (2,)), S.Box(-2, 2, (2,)))))
    row = codec.encode((np.array([0.5, -0.5]), np.array([1.5, 2.0])))
    assert row.tolist() == [[0.5, -0.5], [1.5, 2.0]]
    first, second = codec.decode(row)
    assert first.tolist() == [0.5, -0.5]
    assert second.tolist() == [1.5, 2.0]


def test_tuple_of_several_shapes_is_ragged_and_does_not_carry_data():
    space = S.Tuple((S.Box(-1, 1, (2,)), S.Box(-2, 2, (3,))))
    assert gym_space_to_spec(space).shape == torch.Size([2, -1])
    with pytest.raises(SpecError, match="Use a gym `Dict` space"):
        codec_of(space).encode((np.zeros(2), np.zeros(3)))


def test_tuple_of_several_kinds_raises():
    with pytest.raises(SpecError, match="Use a gym `Dict` space"):
        gym_space_to_spec(S.Tuple((S.Discrete(2), S.Box(-1, 1, (3,)))))
    with pytest.raises(SpecError, match="Make the outer space a `Dict`"):
        gym_space_to_spec(S.Tuple((S.Dict(a=S.Discrete(2)),)))


def test_text_and_sequence():
    assert isinstance(gym_space_to_spec(S.Text(5)), NonTensor)
    assert codec_of(S.Text(5)).to_tensor("abc").data == "abc"
    with pytest.raises(SpecError, match="stack=True"):
        gym_space_to_spec(S.Sequence(S.Box(-1, 1, (2,))))
    codec = codec_of(S.Sequence(S.Box(-1, 1, (2,)), stack=True))
    assert codec.encode(np.zeros((4, 2), np.float32)).shape == (4, 2)


class Angle(S.Space):
    def __init__(self):
        super().__init__((1,), np.float32)


def test_custom_space():
    with pytest.raises(SpecError, match="register_gym_spec_conversion"):
        gym_space_to_spec(Angle())

    @register_gym_spec_conversion(f"{Angle.__module__}.{Angle.__qualname__}")
    def convert(space, dtype=None, device=None, categorical_action_encoding=False):
        return Bounded(-3.0, 3.0, shape=(1,), device=device)

    assert gym_space_to_spec(Angle()).space.high.item() == 3.0
    codec = codec_of(Angle())
    assert codec.encode(np.array([0.5], np.float32)).tolist() == [0.5]
    assert codec.decode(np.array([0.5], np.float32)).tolist() == [0.5]
