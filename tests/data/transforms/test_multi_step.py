import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensordict import TensorDict

from rl.core import MissingKeyError, ShapeError, SpecError
from rl.data import MultiStep

#: going on, terminated, truncated
KINDS = st.lists(st.sampled_from([0, 0, 0, 1, 2]), min_size=1, max_size=30)


def test_by_hand(stream):
    """The third step is terminal; the rewards are 1, 2, 4, 8, 16, 32."""
    data = stream([0, 0, 1, 0, 0, 0])
    out = MultiStep(gamma=0.5, n_steps=3)(data)
    step = out["next"]
    assert step["reward"].flatten().tolist() == [3, 4, 4, 24, 32, 32]
    assert step["original_reward"].flatten().tolist() == [1, 2, 4, 8, 16, 32]
    assert step["observation"].flatten().tolist() == [3, 3, 3, 6, 6, 6]
    assert out["steps_to_next_obs"].flatten().tolist() == [3, 2, 1, 3, 2, 1]
    assert out["gamma"].flatten().tolist() == [0.125, 0.25, 0.5, 0.125, 0.25, 0.5]
    # a target that leads to the terminal state does not bootstrap, wherever it starts
    assert step["terminated"].flatten().tolist() == [1, 1, 1, 0, 0, 0]
    assert out["nonterminal"].flatten().tolist() == [0, 0, 0, 1, 1, 1]
    # done still tells where trajectories end
    assert step["done"].flatten().tolist() == [0, 0, 1, 0, 0, 0]
    assert data["next", "reward"].flatten().tolist() == [1, 2, 4, 8, 16, 32], "input changed"


def test_one_step_changes_no_number(stream):
    data = stream([0, 1, 0], [0, 0, 0])
    out = MultiStep(0.5, 1)(data)
    for key in data.keys(True, True):
        assert torch.equal(out[key], data[key]), key


@settings(deadline=None)
@given(KINDS, st.integers(1, 6))
def test_against_a_slow_reference(stream, expected, read, kinds, n):
    data = stream([k > 0 for k in kinds], [k == 1 for k in kinds])
    assert read(MultiStep(0.5, n)(data)) == expected(data, n, 0.5)


def test_batches_are_batches_of_streams(stream):
    data = stream([[0, 1, 0, 0], [0, 0, 0, 1]])
    out = MultiStep(0.5, 2)(data)
    for row in range(2):
        assert (out[row] == MultiStep(0.5, 2)(data[row])).all()
    data = data.transpose(0, 1).contiguous()
    data.names = ["time", None]
    assert (MultiStep(0.5, 2)(data).transpose(0, 1) == out).all()


def test_without_terminated_done_of_the_last_step_counts(stream):
    data = stream([0, 1, 0]).exclude(("next", "terminated"), ("next", "truncated"))
    assert MultiStep(0.5, 2)(data)["next", "terminated"].flatten().tolist() == [1, 1, 0]


def test_padding_is_no_step(stream):
    data = stream([0, 0, 0, 0])
    data["collector", "mask"] = torch.tensor([True, True, False, False])
    data["next", "reward"][2:] = torch.nan
    out = MultiStep(0.5, 3)(data)
    assert out["next", "reward"].flatten()[:2].tolist() == [2, 2]
    assert out["nonterminal"].flatten().tolist() == [1, 1, 0, 0]


def test_a_change_of_trajectory_cuts(stream):
    data = stream([0, 0, 0, 0])
    data["collector", "traj_ids"] = torch.tensor([0, 0, 1, 1])
    assert MultiStep(0.5, 3)(data)["steps_to_next_obs"].flatten().tolist() == [2, 1, 2, 1]


def test_what_is_no_tensor_raises(stream):
    data = stream([0, 1]).set(("next", "text"), ["a", "b"])
    with pytest.raises(SpecError, match="exclude it"):
        MultiStep(0.9, 2)(data)


def test_bad_input(stream):
    for n in (0, -1, 1.5):
        with pytest.raises(SpecError, match="from 1 on"):
            MultiStep(0.9, n)
    with pytest.raises(ShapeError, match="along time"):
        MultiStep(0.9, 2)(TensorDict({}))
    with pytest.raises(MissingKeyError, match="pass `reward_keys="):
        MultiStep(0.9, 2)(stream([0, 1]).exclude(("next", "reward")))
