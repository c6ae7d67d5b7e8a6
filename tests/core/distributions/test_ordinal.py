import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rl.core.distributions import OneHotOrdinal, Ordinal


def slow_logits(scores):
    """Tang and Agrawal 2020, section 5, as it is written."""
    probs = [1 / (1 + math.exp(-score)) for score in scores]
    return [
        sum(math.log(p) for p in probs[: i + 1]) + sum(math.log(1 - p) for p in probs[i + 1 :])
        for i in range(len(probs))
    ]


@given(st.lists(st.floats(-8, 8), min_size=1, max_size=7))
@settings(max_examples=50, deadline=None)
def test_logits_equal_the_slow_formula(scores):
    expected = torch.tensor(slow_logits(scores), dtype=torch.float64).log_softmax(-1)
    dist = Ordinal(torch.tensor(scores, dtype=torch.float64))
    torch.testing.assert_close(dist.logits, expected, atol=1e-9, rtol=1e-9)


def test_scores_far_out_stay_finite():
    # log sigmoid(500) and log(1 - sigmoid(500)) one by one would need the tails of both
    dist = Ordinal(torch.tensor([500.0, 500.0, -500.0]))
    assert dist.mode.item() == 1
    assert dist.log_prob(torch.tensor(1)).item() == 0.0
    assert dist.log_prob(torch.tensor([0, 2])).tolist() == [-500.0, -500.0]


def test_batches_and_gradients():
    scores = torch.randn(4, 2, 5).requires_grad_()
    value, score = Ordinal(scores).sample_and_log_prob((3,))
    assert value.shape == score.shape == (3, 4, 2)
    score.sum().backward()
    assert scores.grad.isfinite().all()


def test_neighbours_are_near():
    probs = Ordinal(torch.tensor([3.0, 3.0, 3.0, -3.0, -3.0])).probs
    assert (probs[:2].diff() > 0).all()
    assert (probs[2:].diff() < 0).all()


def test_one_hot_is_the_same_law():
    scores = torch.randn(3, 4)
    one_hot, plain = OneHotOrdinal(scores), Ordinal(scores)
    torch.testing.assert_close(one_hot.log_prob(one_hot.mode), plain.log_prob(plain.mode))
    assert one_hot.sample().sum(-1).tolist() == [1, 1, 1]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_of_many_classes(dtype):
    scores = torch.linspace(2, -2, 200).to(dtype)
    exact = Ordinal(scores.double()).logits
    got = Ordinal(scores).logits
    assert got.dtype == dtype
    torch.testing.assert_close(got.double(), exact, rtol=2 * torch.finfo(dtype).eps, atol=1e-3)
