"""Vector envs whose members have observations of different shapes."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from tensordict import LazyStackedTensorDict

from rl.envs import ParallelEnv, SerialEnv, StepCounter, TransformedEnv
from rl.envs.testing import CountingEnv, StringEnv, WideCountingEnv


@pytest.mark.parametrize("kind", [SerialEnv, ParallelEnv])
def test_rollouts_go_through_partial_resets(kind):
    env = kind(2, [partial(WideCountingEnv, 2, 3), partial(WideCountingEnv, 4, 5)])
    try:
        batch = env.rollout(8, break_when_any_done=False)
    finally:
        env.close()
    assert isinstance(batch, LazyStackedTensorDict)
    assert batch[0]["next", "observation"].shape == torch.Size([8, 2])
    assert batch[1]["next", "observation"].shape == torch.Size([8, 4])
    assert batch[0]["next", "observation"][:, 0].tolist() == [1, 2, 3, 1, 2, 3, 1, 2]
    assert batch[1]["next", "observation"][:, 0].tolist() == [1, 2, 3, 4, 5, 1, 2, 3]


@pytest.mark.parametrize(
    "makers",
    [StringEnv, [lambda: CountingEnv(4), lambda: TransformedEnv(CountingEnv(4), StepCounter())]],
)
def test_a_reset_of_some_or_none(makers):
    env = SerialEnv(2, makers)
    root = env.step_mdp(env.rand_step(env.reset()))
    for chosen in ([False, False], [True, False]):
        before = root.clone()
        after = env.reset(root.clone().set("_reset", torch.tensor(chosen).unsqueeze(-1)))
        assert set(after[1].keys(True)) == set(before[1].keys(True))
        tensors = [k for k, v in before[1].items(True, True) if isinstance(v, torch.Tensor)]
        assert all(torch.equal(after[1].get(key), before[1].get(key)) for key in tensors)
        assert after[1].get("string", None) == before[1].get("string", None)
