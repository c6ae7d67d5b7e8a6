"""Options of GAE."""

import pytest
import torch
from tensordict import TensorDict

from rl.objectives.value import GAE


@pytest.fixture
def batch():
    torch.manual_seed(0)
    done = torch.rand(3, 20, 1) < 0.1
    step = {"reward": torch.randn(3, 20, 1), "done": done, "state_value": torch.randn(3, 20, 1)}
    step["terminated"] = torch.zeros_like(done)
    return TensorDict({"state_value": torch.randn(3, 20, 1), "next": step}, [3, 20])


def test_loop_equals_scan(batch):
    scan = GAE(gamma=0.9, lmbda=0.8, value_network=None)(batch.clone())
    loop = GAE(gamma=0.9, lmbda=0.8, value_network=None, vectorized=False)(batch.clone())
    torch.testing.assert_close(scan["advantage"], loop["advantage"])


def test_average_gae(batch):
    plain = GAE(gamma=0.9, lmbda=0.8, value_network=None)(batch.clone())
    scaled = GAE(gamma=0.9, lmbda=0.8, value_network=None, average_gae=True)(batch.clone())
    advantage = plain["advantage"]
    expected = (advantage - advantage.mean()) / advantage.std()
    torch.testing.assert_close(scaled["advantage"], expected)
    torch.testing.assert_close(scaled["value_target"], plain["value_target"])


def test_auto_reset_env_bootstraps_from_the_last_step(batch):
    done = batch["next", "done"]
    batch["next", "state_value"][done] = float("nan")
    result = GAE(gamma=0.9, lmbda=0.8, value_network=None, auto_reset_env=True)(batch)
    expected = (batch["next", "reward"] + (0.9 - 1) * batch["state_value"])[done]
    torch.testing.assert_close(result["advantage"][done], expected)


def test_compiled_equals_eager(batch):
    gae = GAE(gamma=0.9, lmbda=0.8, value_network=None)
    eager = gae(batch.clone())
    compiled = torch.compile(gae, fullgraph=True, backend="eager")(batch.clone())
    torch.testing.assert_close(compiled["advantage"], eager["advantage"])
