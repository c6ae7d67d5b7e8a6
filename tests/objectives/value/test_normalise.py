"""Standardisation."""

import torch

from rl.objectives.value.normalise import standardised


def test_mean_and_deviation():
    result = standardised(torch.tensor([1.0, 2.0, 3.0]))
    assert result.tolist() == [-1.0, 0.0, 1.0]


def test_each_agent_on_its_own():
    tensor = torch.tensor([[1.0, 100.0], [3.0, 300.0]])
    result = standardised(tensor, (1,))
    torch.testing.assert_close(result[:, 0], result[:, 1])
    torch.testing.assert_close(result[:, 0], torch.tensor([-0.5, 0.5]) * 2**0.5)


def test_one_element_stays():
    assert standardised(torch.tensor([5.0])).item() == 5.0


def test_constant_is_zero():
    assert standardised(torch.full((3,), 2.0)).tolist() == [0.0, 0.0, 0.0]
