"""Grouped optimizers."""

import pytest
import torch
from torch import nn

from rl.objectives import group_optimizers


def test_one_step_moves_all_with_their_own_rate():
    one, two = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    grouped = group_optimizers(torch.optim.SGD([one], 0.1), torch.optim.SGD([two], 0.2))
    (one + two).backward()
    grouped.step()
    assert (one.item(), two.item()) == pytest.approx((-0.1, -0.2))
    grouped.zero_grad()
    assert one.grad is None


def test_states_are_kept():
    one, two = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    optimizers = torch.optim.Adam([one], 0.1), torch.optim.Adam([two], 0.2)
    (one + two).backward()
    optimizers[0].step()
    grouped = group_optimizers(*optimizers)
    assert grouped.state[one]["step"] == 1


def test_errors():
    one, two = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    with pytest.raises(ValueError, match="pass at least one"):
        group_optimizers()
    with pytest.raises(ValueError, match="got Adam, SGD: step them separately"):
        group_optimizers(torch.optim.SGD([one], 0.1), torch.optim.Adam([two]))
    with pytest.raises(ValueError, match="more than one parameter group"):
        group_optimizers(torch.optim.SGD([one], 0.1), torch.optim.SGD([one], 0.1))
