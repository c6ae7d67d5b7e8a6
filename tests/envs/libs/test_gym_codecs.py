import gymnasium
import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rl.envs.libs.gym_codecs import codec_of
from rl.envs.libs.gym_spaces import gym_space_to_spec

S = gymnasium.spaces


def test_discrete_starts_at_its_start():
    codec = codec_of(S.Discrete(3, start=2))
    assert codec.encode(2).tolist() == [1, 0, 0]
    assert codec.decode(np.array([0, 0, 1])) == 4
    index = codec_of(S.Discrete(3, start=2), categorical=True)
    assert index.encode(4).item() == 2
    assert index.decode(np.array(1)) == 3
    assert codec.encode_batch(np.array([4, 2])).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert codec.decode_batch(np.array([[0, 0, 1], [1, 0, 0]])).tolist() == [4, 2]


def test_multi_discrete_rows():
    codec = codec_of(S.MultiDiscrete([2, 3]))
    assert codec.encode(np.array([1, 0])).tolist() == [0, 1, 1, 0, 0]
    assert codec.decode(np.array([0, 1, 0, 0, 1])).tolist() == [1, 2]
    shifted = codec_of(S.MultiDiscrete([2, 3], start=[5, 7]))
    assert shifted.encode(np.array([6, 7])).tolist() == [0, 1, 1, 0, 0]
    assert shifted.decode(np.array([0, 1, 0, 0, 1])).tolist() == [6, 9]
    table = codec_of(S.MultiDiscrete(np.array([[2, 3], [3, 2]])))
    assert table.encode(np.array([[1, 0], [0, 1]])).tolist() == [[0, 1, 1, 0, 0], [1, 0, 0, 0, 1]]


SPACES = [
    S.Discrete(4, start=-1),
    S.MultiDiscrete([2, 5, 3]),
    S.MultiDiscrete([4, 4]),
    S.MultiDiscrete(np.array([[2, 3], [3, 2]])),
    S.MultiBinary(3),
    S.MultiBinary((2, 3)),
    S.Box(-2, 2, (2, 3)),
    S.Box(0, 255, (2, 2), dtype=np.uint8),
    S.Tuple((S.Discrete(3), S.Discrete(3))),
]


@given(st.sampled_from(SPACES), st.booleans(), st.integers(0, 2**16))
@settings(max_examples=60, deadline=None)
def test_round_trip(space, categorical, seed):
    space.seed(seed)
    value = space.sample()
    codec = codec_of(space, categorical)
    spec = gym_space_to_spec(space, categorical_action_encoding=categorical)
    row = codec.encode(value)
    assert spec.is_in(torch.from_numpy(row))
    back = codec.decode(row)
    assert space.contains(back)
    np.testing.assert_array_equal(np.asarray(back), np.asarray(value))
    into = np.zeros_like(row)
    codec.writer(into)(value)
    np.testing.assert_array_equal(into, row)
