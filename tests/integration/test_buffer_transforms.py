"""Buffer transforms between real envs, collectors and losses."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from tensordict import TensorDict
from tensordict.nn import TensorDictModule
from torch import nn

from rl.data import (
    HERReplayBuffer,
    HindsightStrategy,
    LazyTensorStorage,
    MultiStep,
    MultiStepTransform,
    StackFrames,
    TensorDictReplayBuffer,
)
from rl.envs import CatFrames, GymEnv, GymWrapper, SerialEnv, SingleCollector, TransformedEnv
from rl.objectives import DQNLoss

GAMMA, N = 0.9, 3


def cartpole_batches(envs, frames=120):
    made = GymEnv("CartPole-v1") if envs == 1 else SerialEnv(envs, lambda: GymEnv("CartPole-v1"))
    collector = SingleCollector(made, None, frames_per_batch=frames // 3, total_frames=frames)
    collector.set_seed(0)
    batches = [batch.clone() for batch in collector]
    collector.shutdown()
    return batches


def slow_target(stream, t, value):
    """Follow the stream of one env from step t: the n-step target, or None if it is not known."""
    total, discount = 0.0, 1.0
    for k in range(N):
        if t + k == len(stream):
            return None
        step = stream[t + k]["next"]
        total += discount * step["reward"].item()
        discount *= GAMMA
        if step["terminated"].item():
            return total
        if step["done"].item():
            break
    return total + discount * value(step["observation"]).item()


@pytest.mark.parametrize("envs", [1, 2])
@pytest.mark.parametrize("ndim", [1, 2])
def test_n_step_targets_of_dqn(envs, ndim):
    """One env or two, in a storage of two dimensions or flattened with the collector's ids."""
    if envs == 1 and ndim == 2:
        pytest.skip("one env has one dimension")
    torch.manual_seed(0)
    batches = cartpole_batches(envs)
    rb = TensorDictReplayBuffer(
        storage=LazyTensorStorage(500, ndim=ndim),
        transform=MultiStepTransform(n_steps=N, gamma=GAMMA),
    )
    for batch in batches:
        rb.extend(batch if ndim == batch.ndim else batch.reshape(-1))
    stored = rb[:].reshape(-1)
    whole = torch.cat(batches, -1).reshape(envs, -1)
    network = nn.Linear(4, 2)
    loss = DQNLoss(
        TensorDictModule(network, ["observation"], ["action_value"]),
        action_space="one_hot",
        gamma=GAMMA,
        delay_value=False,
    )

    def value(observation):
        with torch.no_grad():
            return network(observation).max()

    targets = {}
    for env in range(envs):
        for t in range(whole.shape[1]):
            target = slow_target(whole[env], t, value)
            if target is not None:
                row = whole[env, t]
                targets[tuple(row["observation"].tolist())] = (row, target)
    assert len(stored) >= len(targets) - envs * N
    loss(stored)
    for row in stored:
        origin, target = targets[tuple(row["observation"].tolist())]
        chosen = (network(row["observation"]) * origin["action"]).sum()
        assert row["td_error"].item() == pytest.approx(abs(chosen.item() - target), abs=1e-4)


def test_n_step_as_a_post_processing():
    collector = SingleCollector(
        GymEnv("CartPole-v1"),
        None,
        frames_per_batch=40,
        total_frames=40,
        postproc=MultiStep(GAMMA, N),
    )
    (batch,) = collector
    collector.shutdown()
    # CartPole pays 1 per step
    paid = (1 - GAMMA ** batch["steps_to_next_obs"]) / (1 - GAMMA)
    torch.testing.assert_close(batch["next", "reward"], paid.float())


@pytest.mark.parametrize("padding", ["same", "constant"])
@pytest.mark.parametrize("envs", [1, 2])
def test_stacks_from_single_frames_equal_those_of_the_env(padding, envs):
    """`CatFrames` online; the buffer holds one frame per step, wraps, and is sampled at random."""

    def make():
        if envs == 1:
            return GymEnv("CartPole-v1")
        return SerialEnv(envs, lambda: GymEnv("CartPole-v1"))

    keys = ["observation", ("next", "observation")]
    env = TransformedEnv(
        make(), CatFrames(3, -1, ["observation"], padding=padding, padding_value=-1)
    )
    collector = SingleCollector(env, None, frames_per_batch=7 * envs, total_frames=84 * envs)
    ndim = 1 if envs == 1 else 2
    rb = TensorDictReplayBuffer(
        storage=LazyTensorStorage(20 * envs, ndim=ndim),
        transform=StackFrames(3, -1, keys, padding=padding, padding_value=-1),
        batch_size=64,
    )
    whole = []
    for batch in collector:
        whole.append(batch.clone().set("number", torch.zeros(batch.shape, dtype=torch.int64)))
        number = 7 * (len(whole) - 1) + torch.arange(7)
        whole[-1]["number"] = number.expand(batch.shape).clone()
        rb.extend(whole[-1])
        sampled = rb.sample()
        played = torch.cat(whole, -1).reshape(envs, -1)
        env_of = sampled["index"][:, 1] if envs > 1 else torch.zeros(64, dtype=torch.int64)
        true = played[env_of, sampled["number"]]
        for key in keys:
            assert torch.equal(sampled[key], true[key])
    collector.shutdown()
    assert len(rb) == 20 * envs
    single = rb.storage[:]["observation"].shape[-1]
    assert whole[0]["observation"].shape[-1] == 3 * single


class Reach(gymnasium.Env):
    """A point on a line moves by one left or right; the goal is a place to reach."""

    observation_space = spaces.Dict(
        {
            key: spaces.Box(-20, 20, (1,), np.float64)
            for key in ("observation", "achieved_goal", "desired_goal")
        }
    )
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.steps = np.zeros(1), 0
        self.goal = self.np_random.integers(5, 9, (1,)).astype(np.float64)
        return self.observe(), {}

    def observe(self):
        return {
            "observation": self.place.copy(),
            "achieved_goal": self.place.copy(),
            "desired_goal": self.goal.copy(),
        }

    def compute_reward(self, achieved_goal, desired_goal, info):
        return -(np.abs(achieved_goal - desired_goal) > 0.5).astype(np.float64).reshape(-1, 1)

    def step(self, action):
        self.place += 1.0 if action == 1 else -1.0
        self.steps += 1
        reward = self.compute_reward(self.place, self.goal, {}).item()
        return self.observe(), reward, reward == 0, self.steps == 6, {}


@pytest.mark.parametrize("strategy", list(HindsightStrategy))
@pytest.mark.parametrize("envs", [1, 2])
def test_hindsight_in_a_goal_env(strategy, envs):
    """A random walker that never gets there learns what it did reach."""
    inner = Reach()

    def reward_fn(td):
        achieved, goal = td["next", "achieved_goal"], td["desired_goal"]
        return torch.from_numpy(inner.compute_reward(achieved.numpy(), goal.numpy(), {}))

    ndim = 1 if envs == 1 else 2
    rb = HERReplayBuffer(
        reward_fn,
        strategy=strategy,
        storage=LazyTensorStorage(30 * envs, ndim=ndim),
        batch_size=200,
    )
    made = GymWrapper(Reach()) if envs == 1 else SerialEnv(envs, lambda: GymWrapper(Reach()))
    collector = SingleCollector(made, None, frames_per_batch=10 * envs, total_frames=60 * envs)
    for batch in collector:
        rb.extend(batch)
    collector.shutdown()
    batch, rows = rb.sample(), rb.storage[:]
    achieved, goal = batch["next", "achieved_goal"], batch["desired_goal"]
    assert torch.equal(batch["next", "reward"].eq(0), (achieved - goal).abs() <= 0.5)
    original = rows[tuple(batch["index"].T)] if envs > 1 else rows[batch["index"]]
    changed = (goal != original["desired_goal"]).squeeze(-1)
    assert 0.7 <= changed.double().mean() <= 0.8
    same = original[~changed]
    assert torch.equal(batch[~changed]["next", "reward"], same["next", "reward"])
    assert batch[changed]["next", "reward"].eq(0).any()
    assert rows["desired_goal"].ge(5).all()
    if strategy is HindsightStrategy.RANDOM:
        return
    # the goal was reached in the same episode
    ids = ("collector", "traj_ids")
    for row in batch[changed]:
        reached = rows[rows[ids] == row[ids]]["next", "achieved_goal"]
        assert row["desired_goal"] in reached


def test_hindsight_rows_feed_a_loss():
    data = TensorDict(
        {
            "observation": torch.randn(8, 2),
            "achieved_goal": torch.randn(8, 1),
            "desired_goal": torch.randn(8, 1),
            "action": torch.nn.functional.one_hot(torch.randint(2, (8,)), 2),
            "next": {
                "observation": torch.randn(8, 2),
                "achieved_goal": torch.randn(8, 1),
                "desired_goal": torch.randn(8, 1),
                "reward": torch.randn(8, 1),
                "done": torch.zeros(8, 1, dtype=torch.bool),
                "terminated": torch.zeros(8, 1, dtype=torch.bool),
            },
        },
        [8],
    )
    rb = HERReplayBuffer(
        lambda td: -(td["next", "achieved_goal"] - td["desired_goal"]).abs(),
        storage=LazyTensorStorage(8),
        batch_size=8,
    )
    rb.extend(data)
    batch = rb.sample()
    network = nn.Linear(3, 2)

    def value(observation, goal):
        return network(torch.cat([observation, goal], -1))

    net = TensorDictModule(value, ["observation", "desired_goal"], ["action_value"])
    loss = DQNLoss(net, action_space="one_hot", delay_value=False)
    assert loss(batch)["loss"].isfinite()
    assert batch["td_error"].shape == (8,)
