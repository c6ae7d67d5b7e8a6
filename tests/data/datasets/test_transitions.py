import numpy as np
import pytest

from rl.data.datasets.transitions import closed_episode, done_flags, episode_rows


def test_an_episode_becomes_transitions():
    rows = episode_rows(
        states={"observation": {"a": np.arange(4), "b": list("wxyz")}},
        action={"c": np.arange(3)},
        reward=np.arange(3.0),
        terminated=[0, 0, 1],
        truncated=np.zeros((3, 1)),
        episode=5,
        extra={"seed": np.full(3, 9)},
    )
    assert rows["observation"]["a"].tolist() == [0, 1, 2]
    assert rows["next"]["observation"]["b"] == ["x", "y", "z"]
    assert rows["next"]["reward"].tolist() == [[0], [1], [2]]
    assert rows["next"]["done"].tolist() == [[False], [False], [True]]
    assert not rows["next"]["truncated"].any()
    assert rows["episode"].tolist() == [5, 5, 5]
    assert rows["seed"].tolist() == [9, 9, 9]


def test_an_episode_without_an_end_is_cut():
    rows = episode_rows(
        states={"o": np.arange(3)},
        action=np.zeros(2),
        reward=[0, 0],
        terminated=[0, 0],
        truncated=[0, 0],
        episode=0,
    )
    assert rows["next"]["truncated"].tolist() == rows["next"]["done"].tolist() == [[False], [True]]
    assert not rows["next"]["terminated"].any()


@pytest.mark.parametrize("shape", [(3,), (3, 1)])
def test_flags_have_a_last_dimension(shape):
    flags = done_flags(np.array([1, 0, 0]).reshape(shape), np.array([1, 1, 0]).reshape(shape))
    assert flags["done"].tolist() == [[True], [True], [False]]
    assert all(flag.dtype == bool for flag in flags.values())


@pytest.mark.parametrize(
    ("states", "terminated", "expected", "count"),
    [
        ([1, 2, 3], [0, 0], [1, 2, 3], 2),
        ([1, 2], [0, 1], [1, 2, 0], 2),
        ([1, 2], [0, 0], [1, 2], 1),
    ],
)
def test_the_last_state_is_known(states, terminated, expected, count):
    states = {"o": {"x": np.array(states)}}
    states, steps, flags = closed_episode(states, {"a": np.arange(2)}, terminated)
    assert states["o"]["x"].tolist() == expected
    assert len(steps["a"]) == len(flags) == count
