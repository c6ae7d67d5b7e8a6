"""Vector envs whose members have observations of different shapes."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from tensordict import LazyStackedTensorDict

from rl.envs import ParallelEnv, SerialEnv
from rl.envs.testing import WideCountingEnv


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
