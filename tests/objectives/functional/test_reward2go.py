"""Reward-to-go by hand."""

import pytest
import torch

from rl.core.errors import ShapeError
from rl.objectives.functional import reward2go


def test_documented_example():
    reward = torch.ones(1, 10)
    done = torch.zeros(1, 10, dtype=torch.bool)
    done[:, [3, 7]] = True
    expected = [3.9404, 2.9701, 1.99, 1.0, 3.9404, 2.9701, 1.99, 1.0, 1.99, 1.0]
    result = reward2go(reward, done, 0.99, time_dim=-1)
    torch.testing.assert_close(result, torch.tensor([expected]), atol=1e-4, rtol=0)


def test_default_is_the_sum():
    done = torch.zeros(1, 3, 1, dtype=torch.bool)
    assert reward2go(torch.ones(1, 3, 1), done).flatten().tolist() == [3.0, 2.0, 1.0]


def test_shapes():
    with pytest.raises(ShapeError, match=r"`done.unsqueeze\(-1\)`"):
        reward2go(torch.ones(1, 3, 1), torch.zeros(1, 3, dtype=torch.bool))
