"""Steps, resets and their masks, on envs whose numbers are known."""

from __future__ import annotations

import pytest
import torch
from tensordict import TensorDict

from rl.core import MissingKeyError, RLError, ShapeError, SpecError
from rl.envs.testing import CountingEnv, NestedCountingEnv


def test_step_writes_next_and_keeps_the_root():
    env = CountingEnv()
    root = env.reset()
    transition = env.step(env.rand_action(root))
    assert transition is root
    assert transition["observation"].item() == 0
    assert transition["next", "observation"].item() == 1
    assert set(transition["next"].keys()) == {
        "observation",
        "reward",
        "done",
        "terminated",
        "truncated",
    }


def test_step_keeps_what_the_policy_wrote_under_next():
    env = CountingEnv()
    root = env.rand_action(env.reset())
    root["next", "hidden"] = torch.ones(2)
    transition = env.step(root)
    assert transition["next", "hidden"].tolist() == [1, 1]
    assert env.step_mdp(transition)["hidden"].tolist() == [1, 1]


def test_step_mdp_moves_next_to_the_root_and_keeps_the_action():
    env = CountingEnv()
    transition = env.rand_step(env.reset())
    root = env.step_mdp(transition)
    assert set(root.keys()) == {"observation", "done", "terminated", "truncated", "action"}
    assert root["observation"].item() == 1


def test_step_and_maybe_reset_starts_over_when_done():
    env = CountingEnv(max_steps=2)
    root = env.reset()
    counts = []
    for _ in range(4):
        transition, root = env.step_and_maybe_reset(env.rand_action(root))
        counts.append((transition["next", "observation"].item(), root["observation"].item()))
    assert counts == [(1, 1), (2, 0), (1, 1), (2, 0)]
    assert "_reset" not in root


@pytest.mark.parametrize("trailing", [True, False])
def test_partial_reset_keeps_the_other_rows(trailing):
    env = CountingEnv(batch_size=(3,))
    root = env.step_mdp(env.rand_step(env.reset()))
    mask = torch.tensor([True, False, True])
    root["_reset"] = mask.unsqueeze(-1) if trailing else mask
    root["extra"] = torch.arange(3)
    after = env.reset(root)
    assert after is root
    assert after["observation"].flatten().tolist() == [0, 1, 0]
    assert after["extra"].tolist() == [0, 1, 2]
    assert "_reset" not in after


def test_reset_mask_of_a_wrong_shape_raises():
    env = CountingEnv(batch_size=(3,))
    root = env.reset()
    root["_reset"] = torch.ones(3, 2, dtype=torch.bool)
    with pytest.raises(ShapeError, match=r"`_reset` has shape \[3, 2\], expected that of `done`"):
        env.reset(root)


def test_partial_step_leaves_masked_envs_where_they_are():
    env = CountingEnv(batch_size=(2,))
    root = env.rand_action(env.reset())
    root["_step"] = torch.tensor([True, False])
    following = env.step(root)["next"]
    assert following["observation"].flatten().tolist() == [1, 0]
    assert following["reward"].flatten().tolist() == [1, 0]


def test_nested_groups_follow_their_own_flags():
    env = NestedCountingEnv(max_steps=2, batch_size=(2,))
    root = env.reset()
    assert root["agents"].batch_size == torch.Size([2, 3])
    transition, root = env.step_and_maybe_reset(env.rand_action(root))
    assert transition["next", "agents", "reward"].shape == torch.Size([2, 3, 1])
    assert root["agents", "observation"].flatten().tolist() == [1.0] * 6


def test_a_missing_action_names_the_key_and_the_nearest():
    env = CountingEnv()
    root = env.reset()
    root["actions"] = torch.tensor([1, 0])
    with pytest.raises(MissingKeyError, match=r"The action `action`.*Did you mean `actions`"):
        env.step(root)


def test_float_scores_for_a_one_hot_action_raise():
    env = CountingEnv()
    with pytest.raises(SpecError, match="OneHotCategorical"):
        env.rollout(2, lambda td: td.set("action", torch.randn(2)))


def test_an_action_outside_the_one_hot_domain_raises():
    env = CountingEnv()
    with pytest.raises(SpecError, match="not in the domain"):
        env.rollout(2, lambda td: td.set("action", torch.tensor([1, 1])))


def test_an_action_of_a_wrong_shape_raises():
    env = CountingEnv(batch_size=(2,))
    with pytest.raises(SpecError, match=r"has shape \[2\], expected \[2, 2\]"):
        env.step(env.reset().set("action", torch.tensor([1, 0])))


class DoneAtReset(CountingEnv):
    def _reset(self, tensordict=None, **kwargs):
        return super()._reset(tensordict).set("done", torch.ones(*self.batch_size, 1).bool())


def test_done_at_reset_raises_unless_allowed():
    env = DoneAtReset()
    with pytest.raises(RLError, match="allow_done_after_reset=True"):
        env.reset()
    env.allow_done_after_reset = True
    assert env.reset()["done"].item()


def test_flags_that_a_step_leaves_out_are_filled_in():
    class OnlyTerminated(CountingEnv):
        def _step(self, tensordict):
            return super()._step(tensordict).exclude("done", "truncated")

    following = OnlyTerminated(max_steps=1).rand_step()["next"]
    assert following["done"].item()
    assert not following["truncated"].item()


def test_step_takes_a_plain_tensordict():
    env = CountingEnv()
    env.reset()
    following = env.step(TensorDict({"action": torch.tensor([0, 1])}))["next"]
    assert following["observation"].item() == 1
