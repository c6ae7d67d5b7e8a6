"""Batches of the in-process collector: shapes, ids, counts, devices and exact resume."""

from __future__ import annotations

import pytest
import torch
from tensordict.nn import TensorDictModule
from torch import nn

from rl.core import (
    ExplorationType,
    MissingKeyError,
    OneHotCategorical,
    ProbabilisticActor,
    RLError,
    exploration_type,
)
from rl.envs.collectors import SingleCollector
from rl.envs.testing import CountingEnv, NestedCountingEnv


def actor() -> ProbabilisticActor:
    module = TensorDictModule(nn.Linear(1, 2), in_keys=["observation"], out_keys=["logits"])
    return ProbabilisticActor(
        module, in_keys=["logits"], distribution_class=OneHotCategorical, return_log_prob=True
    )


def test_trajectories_go_on_from_batch_to_batch():
    collector = SingleCollector(CountingEnv(3), frames_per_batch=4, total_frames=8)
    first, second = collector
    assert first["observation"].flatten().tolist() == [0, 1, 2, 0]
    assert second["observation"].flatten().tolist() == [1, 2, 0, 1]
    assert first["collector", "traj_ids"].tolist() == [0, 0, 0, 1]
    assert second["collector", "traj_ids"].tolist() == [1, 1, 2, 2]
    assert first.names == ["time"]


def test_batched_envs_are_counted_together():
    env = CountingEnv(2, batch_size=(3,))
    collector = SingleCollector(env, actor(), frames_per_batch=12, total_frames=12)
    (batch,) = collector
    assert batch.shape == torch.Size([3, 4])
    assert batch.names == [None, "time"]
    assert batch["action_log_prob"].shape == torch.Size([3, 4])
    assert batch["collector", "traj_ids"].tolist() == [[0, 0, 3, 3], [1, 1, 4, 4], [2, 2, 5, 5]]


def test_frames_that_do_not_divide_warn_and_round_up():
    with pytest.warns(UserWarning, match="each batch holds 21"):
        collector = SingleCollector(CountingEnv(batch_size=(3,)), frames_per_batch=20)
    assert collector.next().shape == torch.Size([3, 7])
    with pytest.warns(UserWarning, match="200 are collected"):
        collector = SingleCollector(CountingEnv(), frames_per_batch=100, total_frames=150)
    assert sum(batch.numel() for batch in collector) == 200
    assert len(collector) == 2


def test_the_policy_is_called_in_the_exploration_mode():
    modes = []

    def policy(td):
        modes.append(exploration_type())
        return td.set("action", torch.tensor([1, 0]))

    SingleCollector(CountingEnv(), policy, frames_per_batch=2).next()
    collector = SingleCollector(
        CountingEnv(), policy, frames_per_batch=1, exploration_type=ExplorationType.MODE
    )
    collector.next()
    assert modes == [ExplorationType.RANDOM] * 2 + [ExplorationType.MODE]


def test_random_frames_come_first():
    collector = SingleCollector(
        CountingEnv(), actor(), frames_per_batch=4, init_random_frames=5, total_frames=12
    )
    batches = list(collector)
    keys = [set(batch.keys(True, True)) for batch in batches]
    assert keys[0] == keys[1] == keys[2], "a buffer that took one batch would refuse another"
    assert "logits" in batches[0]


def test_random_frames_are_random_whatever_the_policy():
    def always_one(td):
        return td.set("action", torch.tensor([0, 1])).set("mine", torch.ones(()))

    torch.manual_seed(0)
    collector = SingleCollector(
        CountingEnv(1000), always_one, frames_per_batch=100, init_random_frames=100
    )
    first, second = collector.next(), collector.next()
    assert 30 < first["action"][:, 1].sum() < 70
    assert second["action"][:, 1].sum() == 100
    assert first["mine"].all()


def test_a_reset_starts_new_trajectories():
    collector = SingleCollector(CountingEnv(100), frames_per_batch=2)
    collector.reset()
    assert collector.next()["collector", "traj_ids"].tolist() == [0, 0]
    collector.reset()
    second = collector.next()
    assert second["observation"].flatten().tolist() == [0, 1]
    assert second["collector", "traj_ids"].tolist() == [1, 1]


def test_long_trajectories_are_truncated():
    collector = SingleCollector(CountingEnv(100), frames_per_batch=6, max_frames_per_traj=3)
    batch = collector.next()
    assert batch["next", "truncated"].flatten().tolist() == [False, False, True] * 2
    assert batch["collector", "traj_ids"].tolist() == [0, 0, 0, 1, 1, 1]


def test_reset_at_each_iter_starts_new_trajectories():
    collector = SingleCollector(CountingEnv(), frames_per_batch=2, reset_at_each_iter=True)
    assert collector.next()["collector", "traj_ids"].tolist() == [0, 0]
    second = collector.next()
    assert second["observation"].flatten().tolist() == [0, 1]
    assert second["collector", "traj_ids"].tolist() == [1, 1]


def test_set_truncated_marks_the_end_of_the_batch():
    batch = SingleCollector(CountingEnv(), frames_per_batch=3, set_truncated=True).next()
    assert batch["next", "truncated"].flatten().tolist() == [False, False, True]


def test_the_same_batch_is_refilled_on_request():
    collector = SingleCollector(CountingEnv(), frames_per_batch=2, return_same_td=True)
    first = collector.next()
    assert collector.next() is first
    fresh = SingleCollector(CountingEnv(), frames_per_batch=2)
    assert fresh.next() is not fresh.next()


def test_split_trajectories_are_padded():
    batch = SingleCollector(CountingEnv(2), frames_per_batch=5, split_trajs=True).next()
    assert batch.shape == torch.Size([3, 2])
    assert batch["collector", "mask"].sum(-1).tolist() == [2, 2, 1]


def test_postproc_and_compact_observations():
    collector = SingleCollector(
        CountingEnv(),
        frames_per_batch=2,
        compact_obs=True,
        postproc=lambda td: (
            td.set("x", td["reward"]) if "reward" in td else td.set("x", td["observation"])
        ),
    )
    batch = collector.next()
    assert ("next", "observation") not in batch
    assert torch.equal(batch["x"], batch["observation"])


class Sink:
    """What a buffer offers."""

    def __init__(self):
        self.rows = []

    def extend(self, data):
        self.rows.append(data)


def test_a_replay_buffer_takes_the_transitions():
    sink = Sink()
    env = CountingEnv(batch_size=(2,))
    collector = SingleCollector(env, frames_per_batch=6, total_frames=12, replay_buffer=sink)
    assert list(collector) == [None, None]
    assert [rows.shape for rows in sink.rows] == [torch.Size([6])] * 2


def test_padding_cannot_enter_a_buffer():
    with pytest.raises(RLError, match="padding would enter"):
        SingleCollector(CountingEnv(), frames_per_batch=2, split_trajs=True, replay_buffer=Sink())


def test_weights_are_copied_to_a_policy_elsewhere():
    source = nn.Linear(1, 2)
    collector = SingleCollector(CountingEnv(), source, frames_per_batch=1, policy_device="meta")
    assert collector.policy is not source
    assert next(collector.policy.parameters()).device.type == "meta"
    same = SingleCollector(CountingEnv(), source, frames_per_batch=1, policy_device="cpu")
    assert same.policy is source
    with torch.no_grad():
        same.update_policy_weights_({"weight": torch.ones(2, 1), "bias": torch.zeros(2)})
    assert source.weight.tolist() == [[1.0], [1.0]]
    with pytest.raises(KeyError, match="unknown"):
        same.update_policy_weights_({"weights": torch.ones(2, 1), "bias": torch.zeros(2)})


@pytest.mark.parametrize("env", [lambda: CountingEnv(4, batch_size=(2,)), NestedCountingEnv])
def test_resume_is_exact(env):
    policy = None
    whole = SingleCollector(env(), policy, frames_per_batch=6)
    whole.set_seed(0)
    whole.next()
    state, generator = whole.state_dict(), torch.get_rng_state()
    state = {**state, "root": state["root"].clone()}
    expected = whole.next()
    resumed = SingleCollector(env(), policy, frames_per_batch=6)
    resumed.load_state_dict(state)
    torch.set_rng_state(generator)
    batch = resumed.next()
    assert resumed.frames == 12
    for key in expected.keys(True, True):
        assert torch.equal(batch[key], expected[key]), key


def test_a_policy_that_reads_an_absent_key_is_named():
    policy = TensorDictModule(nn.Linear(1, 2), in_keys=["hidden"], out_keys=["action"])
    with pytest.raises(MissingKeyError, match="TensorDictPrimer"):
        SingleCollector(CountingEnv(), policy, frames_per_batch=1).next()


def test_a_collector_that_was_shut_down_says_so():
    collector = SingleCollector(CountingEnv(), frames_per_batch=1)
    with collector:
        collector.next()
    with pytest.raises(RLError, match="shut down"):
        collector.next()


def test_an_endless_collector_has_no_length():
    with pytest.raises(TypeError, match="no length"):
        len(SingleCollector(CountingEnv(), frames_per_batch=1))


def test_compiled_policy_gives_the_same_batch():
    policy = actor()
    batches = []
    for options in (False, {"backend": "eager"}):
        torch.manual_seed(0)
        collector = SingleCollector(
            CountingEnv(), policy, frames_per_batch=4, compile_policy=options
        )
        batches.append(collector.next())
    assert torch.equal(batches[0]["action"], batches[1]["action"])
    assert torch.equal(batches[0]["action_log_prob"], batches[1]["action_log_prob"])


def test_a_hook_registered_between_batches_runs():
    policy, calls = actor(), []
    collector = SingleCollector(CountingEnv(), policy, frames_per_batch=3)
    collector.next()
    policy.register_forward_hook(lambda *_: calls.append(1))
    collector.next()
    assert len(calls) == 3
