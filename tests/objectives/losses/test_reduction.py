"""Distances, masks, weights, reductions."""

import pytest
import torch

from rl.core.errors import ShapeError
from rl.objectives.losses.reduction import check_reduction, distance_loss, masked_mean, reduce_loss

NAN = float("nan")


@pytest.mark.parametrize(
    ("name", "expected"), [("l1", [0.5, 3.0]), ("l2", [0.25, 9.0]), ("smooth_l1", [0.125, 2.5])]
)
def test_distances(name, expected):
    assert distance_loss(torch.zeros(2), torch.tensor([0.5, 3.0]), name).tolist() == expected


def test_distance_of_two_shapes():
    with pytest.raises(ShapeError, match=r"Give both one shape"):
        distance_loss(torch.zeros(3), torch.zeros(3, 1), "l2")


def test_unknown_distance():
    with pytest.raises(ValueError, match="expected one of l1, l2, smooth_l1"):
        distance_loss(torch.zeros(3), torch.zeros(3), "l3")


def test_unknown_reduction():
    with pytest.raises(ValueError, match="expected one of none, mean, sum"):
        check_reduction("avg")
    assert check_reduction(None) == "mean"


@pytest.mark.parametrize(("reduction", "expected"), [("mean", 2.0), ("sum", 6.0)])
def test_plain(reduction, expected):
    assert reduce_loss(torch.tensor([1.0, 2.0, 3.0]), reduction).item() == expected


@pytest.mark.parametrize(
    ("reduction", "expected"), [("mean", 2.0), ("sum", 4.0), ("none", [1.0, 0.0, 3.0])]
)
def test_mask_keeps_nan_out(reduction, expected):
    loss = torch.tensor([1.0, NAN, 3.0], requires_grad=True)
    mask = torch.tensor([True, False, True])
    result = reduce_loss(loss, reduction, mask=mask)
    assert result.tolist() == expected
    result.sum().backward()
    assert loss.grad.isfinite().all()


@pytest.mark.parametrize(
    ("reduction", "expected"), [("mean", 1.5), ("sum", 6.0), ("none", [3.0, 3.0])]
)
def test_weights(reduction, expected):
    weights = torch.tensor([3.0, 1.0])
    assert reduce_loss(torch.tensor([1.0, 3.0]), reduction, weights=weights).tolist() == expected


def test_mask_and_weights():
    loss, weights = torch.tensor([1.0, 3.0, 9.0]), torch.tensor([3.0, 1.0, 5.0])
    mask = torch.tensor([True, True, False])
    assert reduce_loss(loss, "mean", mask=mask, weights=weights).item() == 1.5


def test_mask_is_repeated_for_agents():
    loss = torch.tensor([[1.0, 3.0], [NAN, NAN]])
    assert reduce_loss(loss, "mean", mask=torch.tensor([True, False])).item() == 2.0


def test_weights_with_trailing_dimension():
    weights = torch.tensor([[3.0], [1.0]])
    assert reduce_loss(torch.tensor([1.0, 3.0]), "mean", weights=weights).item() == 1.5


def test_masked_mean():
    mask = torch.tensor([True, False])
    assert masked_mean(torch.tensor([1.0, NAN]), mask).item() == 1.0
