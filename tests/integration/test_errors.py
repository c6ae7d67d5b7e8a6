"""Mistakes that must raise, each with a message that says what to do instead."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time

import pytest
import torch
from tensordict import TensorDict
from tensordict.nn import TensorDictModule
from torch import nn
from torch.optim import Adam

from rl.core import (
    MLP,
    Checkpoint,
    CheckpointError,
    MissingDependencyError,
    MissingKeyError,
    NotRegisteredError,
    OneHotCategorical,
    ProbabilisticActor,
    RLError,
    ShapeError,
    SpecError,
    ValueOperator,
    WorkerError,
    load_recipe,
    optional,
)
from rl.core.cli.main import main
from rl.data import LazyTensorStorage, ReplayBuffer, TensorDictReplayBuffer
from rl.envs import Collector, GymEnv, ParallelEnv
from rl.objectives import GAE, ClipPPOLoss, DQNLoss, HardUpdate, Trainer

WAIT_S = 5.0


def make_actor(env: GymEnv) -> ProbabilisticActor:
    net = TensorDictModule(MLP(4, 2, num_cells=[8]), ["observation"], ["logits"])
    return ProbabilisticActor(
        net,
        in_keys=["logits"],
        spec=env.full_action_spec,
        distribution_class=OneHotCategorical,
        return_log_prob=True,
    )


def make_critic() -> ValueOperator:
    return ValueOperator(MLP(4, 1, num_cells=[8]), in_keys=["observation"])


@pytest.fixture
def env():
    return GymEnv("CartPole-v1")


@pytest.fixture
def batch(env):
    env.set_seed(0)
    return env.rollout(16, make_actor(env), break_when_any_done=False).detach()


@pytest.fixture
def float_logits_policy():
    return TensorDictModule(nn.Linear(4, 2), ["observation"], ["action"])


# ------------------------------------------------- conventions.md, 3.13, row by row


def test_float_logits_as_a_one_hot_action_in_a_rollout(env, float_logits_policy):
    with pytest.raises(SpecError, match=r"`action` has dtype torch.float32.*ProbabilisticActor"):
        env.rollout(3, float_logits_policy)


def test_float_logits_as_a_one_hot_action_in_a_collector(env, float_logits_policy):
    collector = Collector(env, float_logits_policy, frames_per_batch=4)
    with pytest.raises(SpecError, match=r"instead of writing scores"):
        collector.next()


def test_float_logits_as_a_one_hot_action_in_worker_processes(float_logits_policy):
    env = ParallelEnv(2, lambda: GymEnv("CartPole-v1"))
    try:
        with pytest.raises(SpecError, match=r"instead of writing scores"):
            env.rollout(3, float_logits_policy)
    finally:
        env.close()


def test_scores_as_a_one_hot_action_of_the_right_dtype(env):
    scores = TensorDictModule(lambda x: x[..., :2].long() + 2, ["observation"], ["action"])
    with pytest.raises(SpecError, match=r"not in the domain of the OneHot action spec"):
        env.rollout(3, scores)


def test_log_prob_with_a_stray_trailing_dim(env, batch):
    loss = ClipPPOLoss(make_actor(env), make_critic())
    GAE(gamma=0.99, lmbda=0.95, value_network=loss.critic_network)(batch)
    loss(batch)  # the same batch passes as it was collected
    batch["action_log_prob"] = batch["action_log_prob"].unsqueeze(-1)
    with pytest.raises(ShapeError, match=r"Store `action_log_prob.squeeze\(-1\)`"):
        loss(batch)


def test_integer_action_in_a_one_hot_loss(env):
    loss = DQNLoss(nn.Linear(4, 2), action_space="one_hot", delay_value=False)
    batch = GymEnv("CartPole-v1", categorical_action_encoding=True).rollout(8)
    with pytest.raises(ShapeError, match=r'pass `action_space="categorical"`'):
        loss(batch)


def test_integer_action_column_in_a_one_hot_loss(env, batch):
    loss = DQNLoss(nn.Linear(4, 2), action_space="one_hot", delay_value=False)
    batch["action"] = batch["action"].long().argmax(-1, keepdim=True)
    with pytest.raises(ShapeError, match=r'pass `action_space="categorical"`'):
        loss(batch)


def test_one_hot_action_in_a_categorical_loss(batch):
    loss = DQNLoss(nn.Linear(4, 2), action_space="categorical", delay_value=False)
    with pytest.raises(ShapeError, match=r'pass `action_space="one_hot"`'):
        loss(batch)


@pytest.mark.parametrize("kind", [ReplayBuffer, TensorDictReplayBuffer])
def test_extend_with_an_extra_key(kind):
    buffer = kind(storage=LazyTensorStorage(10), batch_size=2)
    buffer.extend(TensorDict({"x": torch.arange(4)}, [4]))
    with pytest.raises(SpecError, match=r"`extra`"):
        buffer.extend(TensorDict({"x": torch.arange(4), "extra": torch.arange(4)}, [4]))
    assert len(buffer) == 4
    assert buffer[:]["x"].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("kind", [ReplayBuffer, TensorDictReplayBuffer])
def test_extend_with_more_rows_than_the_capacity(kind):
    buffer = kind(storage=LazyTensorStorage(10), batch_size=2)
    with pytest.raises(ShapeError, match=r"11.*10"):
        buffer.extend(TensorDict({"x": torch.arange(11)}, [11]))
    assert len(buffer) == 0


def test_targets_and_no_updater(batch):
    loss = DQNLoss(nn.Linear(4, 2), action_space="one_hot", delay_value=True)
    with pytest.warns(UserWarning, match=r"nothing moves: build `SoftUpdate\(loss, tau=0.005\)`"):
        loss(batch)
    trained = DQNLoss(nn.Linear(4, 2), action_space="one_hot", delay_value=True)
    parts = {"collector": [batch], "total_frames": batch.numel(), "optim_steps_per_batch": 1}
    with pytest.raises(RLError, match=r"`target_net_updater=SoftUpdate\(loss, tau=0.005\)`"):
        Trainer(loss_module=trained, optimizer=Adam(trained.parameters()), **parts)
    with_updater = DQNLoss(nn.Linear(4, 2), action_space="one_hot", delay_value=True)
    HardUpdate(with_updater)
    with_updater(batch)  # warnings are errors in this suite


def test_unknown_name_in_set_keys(env):
    loss = ClipPPOLoss(make_actor(env), make_critic())
    with pytest.raises(ValueError, match=r"Did you mean `advantage`\?") as caught:
        loss.set_keys(advantages="adv")
    assert "`value_target`" in str(caught.value)
    assert "Field(" not in str(caught.value)


def test_reward_without_the_trailing_dim_in_gae(batch):
    gae = GAE(gamma=0.99, lmbda=0.95, value_network=make_critic())
    batch["next", "reward"] = batch["next", "reward"].squeeze(-1)
    with pytest.raises(ShapeError, match=r"pass `reward.unsqueeze\(-1\)`"):
        gae(batch)


@pytest.mark.parametrize(
    "run",
    [
        pytest.param(lambda env, policy: env.rollout(3, policy), id="rollout"),
        pytest.param(
            lambda env, policy: Collector(env, policy, frames_per_batch=4).next(), id="collector"
        ),
    ],
)
def test_policy_that_reads_a_missing_key(env, run):
    policy = TensorDictModule(nn.Linear(4, 2), ["observatoin"], ["action"])
    with pytest.raises(MissingKeyError, match=r"`observatoin`") as caught:
        run(env, policy)
    for fragment in ("TensorDictModule", "GymEnv", "Did you mean `observation`?", "in_keys"):
        assert fragment in str(caught.value)


# ------------------------------------------------------------------- names and extras


def test_unknown_env():
    with pytest.raises(NotRegisteredError, match=r"`CartPol-v1`.*Did you mean `CartPole-v1`\?"):
        GymEnv("CartPol-v1")


def test_unknown_env_in_a_recipe(tmp_path, capfd):
    command = ["train", "ppo", "--env", "CartPol-v1", "--out", str(tmp_path / "run")]
    assert main(command) == 1
    assert "Did you mean `CartPole-v1`?" in capfd.readouterr().err


def test_unknown_recipe(capfd):
    with pytest.raises(NotRegisteredError, match=r"`pppo`.*Did you mean `ppo`\?"):
        load_recipe("pppo")
    assert main(["train", "pppo"]) == 1
    assert "Did you mean `ppo`?" in capfd.readouterr().err


def test_missing_extra():
    absent = optional("a_module_that_is_not_installed", extra="rl-envs[gym]")
    with pytest.raises(MissingDependencyError, match=r'`pip install "rl-envs\[gym\]"`'):
        _ = absent.make


def test_unknown_collector_backend(env):
    with pytest.raises(NotRegisteredError, match=r"Did you mean `single`\?"):
        Collector(env, backend="singel", frames_per_batch=4)


# ------------------------------------------------------------------- faults of the world


def test_killed_worker():
    env = ParallelEnv(2, lambda: GymEnv("CartPole-v1"), num_processes=2)
    try:
        root = env.rand_action(env.reset())
        os.kill(env.backend.pids[1], signal.SIGKILL)
        started = time.monotonic()
        with pytest.raises(WorkerError, match=r"Worker 1 of 2 stopped in `step`.*killed"):
            env.step(root)
        assert time.monotonic() - started < WAIT_S
    finally:
        env.close()


def test_killed_worker_in_a_collector():
    env = ParallelEnv(2, lambda: GymEnv("CartPole-v1"), num_processes=2)
    with Collector(env, frames_per_batch=200) as collector:
        collector.next()
        os.kill(env.backend.pids[0], signal.SIGKILL)
        started = time.monotonic()
        with pytest.raises(WorkerError, match=r"Worker 0 of 2"):
            collector.next()
        assert time.monotonic() - started < WAIT_S


def test_truncated_checkpoint_file(tmp_path):
    checkpoint = Checkpoint(policy=nn.Linear(16, 16))
    checkpoint.save(tmp_path / "whole")
    files = [p for p in sorted((tmp_path / "whole").rglob("*")) if p.is_file()]
    assert {file.suffix for file in files} == {".json", ".safetensors"}
    for index, file in enumerate(files):
        folder = tmp_path / f"cut-{index}"
        shutil.copytree(tmp_path / "whole", folder)
        victim = folder / file.relative_to(tmp_path / "whole")
        content = victim.read_bytes()
        victim.write_bytes(content[: len(content) // 2])
        nn.init.ones_(checkpoint.components["policy"].weight)
        with pytest.raises(CheckpointError, match=re.escape(str(victim))):
            checkpoint.load(folder)
        assert (checkpoint.components["policy"].weight == 1).all()
    checkpoint.load(tmp_path / "whole")
    assert not (checkpoint.components["policy"].weight == 1).all()


def test_truncated_checkpoint_of_a_run(tmp_path, capfd):
    folder = tmp_path / "run"
    flags = ["--env", "CartPole-v1", "--total-frames", "256", "--frames-per-batch", "256"]
    flags += ["--num-epochs", "1", "--eval-episodes", "1", "--out", str(folder)]
    assert main(["train", "ppo", *flags]) == 0
    (victim,) = (folder / "checkpoint").glob("*.safetensors")
    victim.write_bytes(victim.read_bytes()[:-1])
    capfd.readouterr()
    assert main(["eval", str(folder), "--episodes", "1"]) == 1
    assert victim.name in capfd.readouterr().err
