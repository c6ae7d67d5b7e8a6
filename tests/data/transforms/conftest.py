"""Streams of steps, and slow obvious references."""

import pytest
import torch
from tensordict import TensorDict


def make_stream(done, terminated=None, *, start=0, reward=None):
    """Return steps `[T]` or `[B, T]`: observation t, next observation t + 1, reward 2 ** t."""
    done = torch.tensor(done, dtype=torch.bool)
    terminated = done if terminated is None else torch.tensor(terminated, dtype=torch.bool)
    t = (torch.arange(done.shape[-1]) + start).expand(done.shape).double().unsqueeze(-1)
    return TensorDict(
        {
            "observation": t,
            "next": {
                "observation": t + 1,
                "reward": 2.0**t if reward is None else reward,
                "done": done.unsqueeze(-1),
                "terminated": terminated.unsqueeze(-1),
                "truncated": (done & ~terminated).unsqueeze(-1),
            },
        },
        done.shape,
    )


def slow_n_step(data, n, gamma):
    """The n-step transition of each step of a stream `[T]`, one at a time."""
    result = []
    done = data["next", "done"].flatten().tolist()
    for t in range(len(data)):
        total, m = 0.0, 0
        while m < n and t + m < len(data):
            total += gamma**m * data["next", "reward"][t + m].item()
            m += 1
            if done[t + m - 1]:
                break
        last = t + m - 1
        result.append(
            {
                "reward": total,
                "steps": m,
                "observation": data["next", "observation"][last].item(),
                "terminated": data["next", "terminated"][last].item(),
                "complete": m == n or done[last],
            }
        )
    return result


def expected_n_step(data, n, gamma, waiting=True):
    """Return (reward, steps, next observation, terminated) of each step by the reference."""
    rows = slow_n_step(data, n, gamma)
    keys = ("reward", "steps", "observation", "terminated")
    return [tuple(r[key] for key in keys) for r in rows if waiting or r["complete"]]


def read_n_step(data):
    """Return (reward, steps, next observation, terminated) of n-step transitions `[T]`."""
    step = data["next"]
    parts = (step["reward"], data["steps_to_next_obs"], step["observation"], step["terminated"])
    return [tuple(part[i].item() for part in parts) for i in range(len(data))]


@pytest.fixture(scope="session")
def stream():
    return make_stream


@pytest.fixture(scope="session")
def expected():
    return expected_n_step


@pytest.fixture(scope="session")
def read():
    return read_n_step
