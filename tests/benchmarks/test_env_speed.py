"""Stepping and collecting beside the loop that a good engineer writes by hand, in one run."""

from __future__ import annotations

import statistics
import time
from functools import partial

import gymnasium
import pytest
import torch
from tensordict.nn import TensorDictModule
from torch import nn

from rl.core import OneHotCategorical, ProbabilisticActor
from rl.envs import Collector, GymEnv, ParallelEnv, SerialEnv

TURNS = 5
FLICKER = 1.5  # a shared machine is not a stopwatch: the bars proper are in docs/results/speed.md


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def fps(run, frames: int) -> float:
    """Return the median frames per second of a few turns, after one that is not counted."""
    run()
    times = []
    for _ in range(TURNS):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return frames / statistics.median(times)


def report(benchmark, ours, hand, frames: int, bar: float, flicker: float = FLICKER) -> None:
    """Record both sides and hold ours to `bar` times the hand-written side, with room."""
    by_hand = fps(hand, frames)
    ratio = fps(ours, frames) / by_hand
    benchmark.extra_info.update(ratio=round(ratio, 3), hand_written_fps=round(by_hand), bar=bar)
    benchmark.pedantic(ours, rounds=TURNS, warmup_rounds=1)
    assert ratio * flicker >= bar, f"{ratio:.2f} x hand-written, the bar is {bar}"


def net() -> nn.Module:
    return nn.Sequential(
        nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 2)
    )


def test_rollout(benchmark):
    ours, raw = GymEnv("CartPole-v1"), gymnasium.make("CartPole-v1")
    raw.reset(seed=0)

    def by_hand():
        for _ in range(1000):
            _, _, terminated, truncated, _ = raw.step(raw.action_space.sample())
            if terminated or truncated:
                raw.reset()

    report(benchmark, lambda: ours.rollout(1000, break_when_any_done=False), by_hand, 1000, 0.15)


def test_collect(benchmark):
    module = TensorDictModule(net(), in_keys=["observation"], out_keys=["logits"])
    policy = ProbabilisticActor(
        module, in_keys=["logits"], distribution_class=OneHotCategorical, return_log_prob=True
    )
    envs = SerialEnv(8, partial(GymEnv, "CartPole-v1"))
    collector = Collector(envs, policy, frames_per_batch=2048)
    raw, plain = gymnasium.vector.SyncVectorEnv([partial(gymnasium.make, "CartPole-v1")] * 8), net()
    state = [torch.as_tensor(raw.reset(seed=0)[0])]
    stored = torch.zeros(256, 8, 4)

    @torch.no_grad()
    def by_hand():
        for step in range(256):
            stored[step] = state[0]
            dist = torch.distributions.Categorical(logits=plain(state[0]))
            action = dist.sample()
            dist.log_prob(action)
            state[0] = torch.as_tensor(raw.step(action.numpy())[0])

    report(benchmark, collector.next, by_hand, 2048, 1.4)
    collector.shutdown()
    raw.close()


def test_parallel(benchmark):
    ours = ParallelEnv(2, partial(GymEnv, "CartPole-v1"))
    raw = gymnasium.vector.AsyncVectorEnv([partial(gymnasium.make, "CartPole-v1")] * 2)
    raw.reset(seed=0)

    def by_hand():
        for _ in range(500):
            raw.step(raw.action_space.sample())

    # two processes on a machine of two cores lose much to whatever else runs
    run = partial(ours.rollout, 500, break_when_any_done=False)
    report(benchmark, run, by_hand, 1000, 1.5, flicker=4.0)
    ours.close()
    raw.close()
