import pytest
import torch
from tensordict import TensorDict

from rl.core import Compose, SpecError
from rl.envs.transformed import TransformedEnv
from rl.envs.transforms import InitTracker


def test_marks_the_first_step(counting):
    env = TransformedEnv(counting(length=2), InitTracker())
    data = env.rollout(4, break_when_any_done=False)
    assert data["is_init"].flatten().tolist() == [True, False, True, False]
    assert not data["next", "is_init"].any()


def test_partial_reset(counting):
    env = TransformedEnv(counting((3,)), InitTracker(init_key="first"))
    root = env.step_mdp(env.rand_step(env.reset()))
    root = env.reset(root.set("_reset", torch.tensor([[True], [False], [True]])))
    assert root["first"].flatten().tolist() == [True, False, True]


def test_groups(team):
    assert TransformedEnv(team(), InitTracker()).reset()["agents", "is_init"].all()
    root = TransformedEnv(team((), root_done=True), InitTracker()).reset()
    assert root["is_init"].all()
    assert root.get(("agents", "is_init"), None) is None


def test_bad_input(counting):
    with pytest.raises(SpecError, match="give a string, the leaf name"):
        InitTracker(("a", "b"))
    with pytest.raises(SpecError, match="Pass another `init_key`"):
        TransformedEnv(counting(), Compose(InitTracker(), InitTracker()))
    with pytest.raises(NotImplementedError, match="add it to an env with `TransformedEnv`"):
        InitTracker()(TensorDict({"a": torch.zeros(1)}))
