"""TD estimators against their functions."""

import pytest
import torch
from tensordict import TensorDict

from rl.core.errors import ShapeError
from rl.objectives import functional
from rl.objectives.value import TD0Estimator, TD1Estimator, TDLambdaEstimator


@pytest.fixture
def batch():
    torch.manual_seed(0)
    terminated = torch.rand(3, 20, 1) < 0.1
    done = terminated | (torch.rand(3, 20, 1) < 0.1)
    step = {"reward": torch.randn(3, 20, 1), "done": done, "terminated": terminated}
    step["state_value"] = torch.randn(3, 20, 1)
    return TensorDict({"state_value": torch.randn(3, 20, 1), "next": step}, [3, 20])


def arguments(batch):
    step = batch["next"]
    return step["state_value"], step["reward"], step["done"], step["terminated"]


def test_td0(batch):
    TD0Estimator(gamma=0.9, value_network=None)(batch)
    following, reward, _, terminated = arguments(batch)
    expected = functional.td0_return_estimate(0.9, following, reward, terminated)
    torch.testing.assert_close(batch["value_target"], expected)
    torch.testing.assert_close(batch["advantage"], expected - batch["state_value"])


def test_td1(batch):
    TD1Estimator(gamma=0.9, value_network=None)(batch)
    expected = functional.td1_return_estimate(0.9, *arguments(batch))
    torch.testing.assert_close(batch["value_target"], expected)
    torch.testing.assert_close(batch["advantage"], expected - batch["state_value"])


@pytest.mark.parametrize("vectorized", [True, False])
def test_td_lambda(batch, vectorized):
    TDLambdaEstimator(gamma=0.9, lmbda=0.8, value_network=None, vectorized=vectorized)(batch)
    expected = functional.td_lambda_return_estimate(0.9, 0.8, *arguments(batch))
    torch.testing.assert_close(batch["value_target"], expected)
    torch.testing.assert_close(batch["advantage"], expected - batch["state_value"])


def test_average_rewards(batch):
    reward = batch["next", "reward"]
    TD0Estimator(gamma=0.0, value_network=None, average_rewards=True)(batch)
    torch.testing.assert_close(batch["value_target"], (reward - reward.mean()) / reward.std())


def test_value_of_another_shape(batch):
    batch["state_value"] = batch["state_value"].squeeze(-1)
    with pytest.raises(ShapeError, match="Expand `next_value`"):
        TD0Estimator(gamma=0.9, value_network=None)(batch)
