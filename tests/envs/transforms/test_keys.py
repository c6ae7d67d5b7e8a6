"""Renaming, selecting and excluding entries."""

import pytest
import torch
from tensordict import TensorDict

from rl.core import MissingKeyError, SpecError
from rl.envs.transformed import TransformedEnv
from rl.envs.transforms import ExcludeTransform, RenameTransform, SelectTransform


def test_rename_both_ways(counting):
    env = TransformedEnv(
        counting(), RenameTransform(["observation"], ["state"], ["action"], ["control"])
    )
    data = env.rollout(2)
    assert {"state", "control"} <= set(data.keys())
    assert not {"observation", "action"} & set(data.keys())
    assert env.action_keys == ["control"]
    assert "state" in env.observation_spec


def test_swap():
    data = TensorDict({"a": 1, "b": 2})
    data = RenameTransform(["a", "b"], ["b", "a"])(data)
    assert (data["a"].item(), data["b"].item()) == (2, 1)


def test_copy_keeps_the_old_name(counting):
    env = TransformedEnv(counting(), RenameTransform(["nested"], ["n"], create_copy=True))
    root = env.reset()
    assert torch.equal(root["n", "value"], root["nested", "value"])


def test_exclude(counting):
    env = TransformedEnv(counting(), ExcludeTransform("pixels", ("nested", "value")))
    assert "pixels" not in env.reset().keys(True)
    into = ExcludeTransform("a", inverse=True)
    data = TensorDict({"a": 1, "b": 2})
    assert sorted(into.inv(data).keys()) == ["b"]
    assert sorted(into(data).keys()) == ["a", "b"]


def test_select(counting):
    env = TransformedEnv(counting(), SelectTransform("position"))
    assert list(env.observation_spec.keys()) == ["position"]
    assert env.reset().get("observation", None) is None
    env = TransformedEnv(counting(), SelectTransform("position", keep_rewards=False))
    assert list(env.full_reward_spec.keys(True, True)) == []


def test_bad_input(counting):
    with pytest.raises(SpecError, match="one new, different name per entry"):
        RenameTransform(["a"], [])
    with pytest.raises(SpecError, match="one new, different name per entry"):
        RenameTransform(["a", "b"], ["c", "c"])
    with pytest.raises(MissingKeyError, match="Did you mean `observation`"):
        TransformedEnv(counting(), RenameTransform(["observatio"], ["x"]))
    with pytest.raises(MissingKeyError, match="Did you mean `action`"):
        TransformedEnv(counting(), RenameTransform([], [], ["actions"], ["x"]))
    with pytest.raises(SpecError, match="leave it in"):
        TransformedEnv(counting(), ExcludeTransform("done"))
    with pytest.raises(SpecError, match="leave `keep_dones=True`"):
        TransformedEnv(counting(), SelectTransform(keep_dones=False))
