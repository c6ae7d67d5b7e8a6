"""`rollout` and its flags."""

from __future__ import annotations

import pytest
import torch
from tensordict import LazyStackedTensorDict, TensorDict
from tensordict.nn import TensorDictModule, TensorDictModuleBase, TensorDictSequential
from torch import nn

from rl.core import MissingKeyError, MultiStepActorWrapper, RLError, ShapeError
from rl.envs import InitTracker, TransformedEnv
from rl.envs.testing import CountingEnv, NestedCountingEnv, StringEnv


class Uneven(CountingEnv):
    """Two envs, the second of which ends two steps later."""

    def __init__(self):
        super().__init__(3, batch_size=(2,))

    def _step(self, tensordict):
        following = super()._step(tensordict)
        over = self.count >= torch.tensor([[3.0], [5.0]])
        return following.update({"done": over, "terminated": over.clone()})


def test_stops_at_the_first_end_by_default():
    batch = Uneven().rollout(10)
    assert batch.shape == torch.Size([2, 3])
    assert batch.names == [None, "time"]
    assert batch["next", "observation"][0].flatten().tolist() == [1, 2, 3]


def test_goes_on_through_resets():
    batch = CountingEnv(3).rollout(7, break_when_any_done=False)
    assert batch["observation"].flatten().tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert batch["next", "observation"].flatten().tolist() == [1, 2, 3, 1, 2, 3, 1]


def test_stops_when_all_are_done_and_those_that_are_stand_still():
    batch = Uneven().rollout(10, break_when_all_done=True)
    assert batch.shape == torch.Size([2, 5])
    assert batch["next", "observation"][0].flatten().tolist() == [1, 2, 3, 3, 3]
    assert batch["next", "observation"][1].flatten().tolist() == [1, 2, 3, 4, 5]
    assert batch["next", "done"][0].flatten().tolist() == [False, False, True, True, True]
    assert "_step" not in batch


def test_contradicting_flags_raise():
    with pytest.raises(RLError, match="pass one of them"):
        CountingEnv().rollout(2, break_when_any_done=True, break_when_all_done=True)


def test_set_truncated_marks_the_last_step():
    following = CountingEnv().rollout(3, set_truncated=True)["next"]
    assert following["truncated"].flatten().tolist() == [False, False, True]
    assert following["done"].flatten().tolist() == [False, False, True]
    assert not following["terminated"].any()


def test_starts_from_a_given_root():
    env = CountingEnv()
    root = env.step_mdp(env.rand_step(env.reset()))
    batch = env.rollout(2, auto_reset=False, tensordict=root)
    assert batch["observation"].flatten().tolist() == [1, 2]
    with pytest.raises(RLError, match="tensordict="):
        env.rollout(2, auto_reset=False)


def test_writes_into_out():
    env = CountingEnv(batch_size=(2,))
    first = env.rollout(4)
    again = env.rollout(4, out=first)
    assert again is first
    assert again["next", "observation"][0].flatten().tolist() == [1, 2, 3, 4]


def test_callback_sees_each_transition():
    seen = []
    CountingEnv().rollout(3, callback=lambda env, td: seen.append(td["next", "observation"].item()))
    assert seen == [1, 2, 3]


def test_what_a_callback_keeps_stays_whole():
    kept = []
    CountingEnv().rollout(4, callback=lambda env, td: kept.append(td))
    for td in kept:
        assert td["next", "reward"].item() == 1
        assert "action" in td
    assert [td["observation"].item() for td in kept] == [0, 1, 2, 3]


def test_an_early_end_returns_the_written_part_of_out():
    env = CountingEnv(3, batch_size=(2,))
    out = env.rollout(6, break_when_any_done=False)
    again = env.rollout(6, out=out)
    assert again.shape == torch.Size([2, 3])
    assert again["next", "observation"][0].flatten().tolist() == [1, 2, 3]
    assert again["observation"].data_ptr() == out["observation"].data_ptr()
    with pytest.raises(ShapeError, match=r"expected \[\*B, 4\]"):
        env.rollout(4, out=out)


def test_replays_actions():
    env = CountingEnv()
    actions = env.rollout(4)["action"]
    assert torch.equal(env.rollout(4, actions=actions)["action"], actions)


def test_a_module_on_tensors_reads_observations_and_writes_actions():
    class Always(nn.Module):
        def forward(self, observation):
            return torch.tensor([0, 1]).expand(*observation.shape[:-1], 2)

    assert (CountingEnv(batch_size=(3,)).rollout(2, Always())["action"][..., 1] == 1).all()


def test_a_policy_that_reads_an_absent_key_is_named():
    policy = TensorDictModule(nn.Linear(1, 2), in_keys=["observations"], out_keys=["action"])
    with pytest.raises(
        MissingKeyError, match=r"TensorDictModule reads `observations`.*CountingEnv"
    ):
        CountingEnv().rollout(2, policy)


def test_changing_keys_raise():
    def policy(td):
        if td["observation"].item() == 1:
            td["surprise"] = torch.ones(1)
        return td.set("action", torch.tensor([0, 1]))

    with pytest.raises(RLError, match=r"new \['surprise'\]"):
        CountingEnv().rollout(3, policy)


def test_nested_data_is_stacked_in_its_own_batch_dims():
    batch = NestedCountingEnv(num_agents=2, batch_size=(3,)).rollout(4)
    assert batch.shape == torch.Size([3, 4])
    assert batch["agents"].shape == torch.Size([3, 4, 2])
    assert batch["next", "agents", "observation"][0, :, 0].flatten().tolist() == [1, 2, 3, 4]


def test_non_tensor_data_takes_the_lazy_road():
    batch = StringEnv(3).rollout(5)
    assert isinstance(batch, LazyStackedTensorDict)
    assert batch["next", "text"] == ["step 1", "step 2", "step 3"]
    assert batch.names == ["time"]


def test_lazy_stack_on_request():
    batch = CountingEnv().rollout(3, return_contiguous=False)
    assert isinstance(batch, LazyStackedTensorDict)
    assert isinstance(CountingEnv().rollout(3), TensorDict)


def test_no_step_raises():
    with pytest.raises(RLError, match="1 step at least"):
        CountingEnv().rollout(0)


class Remembering(TensorDictModuleBase):
    """A policy that counts its steps in an entry that nothing else writes."""

    in_keys = ("observation",)
    out_keys = ("action", "_count")
    carried_keys = ("_count",)

    def forward(self, tensordict):
        action = torch.tensor([1, 0]).expand(*tensordict.batch_size, 2)
        count = tensordict.get("_count", torch.zeros(tensordict.batch_size))
        return tensordict.set("action", action).set("_count", count + 1)


def test_a_policy_finds_what_it_carries():
    policy = TensorDictSequential(Remembering())
    batch = CountingEnv(3).rollout(5, policy, break_when_any_done=False)
    assert batch["_count"].tolist() == [1, 2, 3, 4, 5]


def test_chunks_of_actions_end_with_their_trajectory():
    """Two envs that end apart: each plans anew at its own resets and when its chunk is over."""
    turn = torch.tensor([[1, 0], [0, 1]])
    plan = TensorDictModule(
        lambda obs: turn.expand(*obs.shape[:-1], 2, 2), ["observation"], ["action"]
    )
    env = TransformedEnv(Uneven(), InitTracker())
    batch = env.rollout(7, MultiStepActorWrapper(plan), break_when_any_done=False)
    starts = batch["is_init"].squeeze(-1)
    assert starts.sum(-1).tolist() == [3, 2]
    for row in range(2):
        since = 0
        for t in range(7):
            since = 0 if starts[row, t] else since + 1
            assert torch.equal(batch["action"][row, t], turn[since % 2])
            assert batch["counter"][row, t].item() == since % 2 + 1


class Counter(TensorDictModuleBase):
    """Counts its own calls in the TensorDict, without listing the count among what it reads."""

    def __init__(self):
        super().__init__()
        self.in_keys, self.out_keys = ["observation"], ["action", "calls"]

    def forward(self, tensordict):
        calls = tensordict.get("calls", torch.zeros(1, dtype=torch.int64))
        return tensordict.update({"action": torch.tensor([1, 0]), "calls": calls + 1})


def test_what_an_unknown_module_writes_comes_back_to_it():
    assert CountingEnv().rollout(4, Counter())["calls"].flatten().tolist() == [1, 2, 3, 4]
