import math

import pytest
import torch
from torch.distributions import kl_divergence

from rl.core.distributions import (
    FusedCategorical,
    MaskedOneHotCategorical,
    OneHotCategorical,
    ReparamGradientStrategy,
)
from rl.core.errors import RLError, ShapeError

LOGITS = torch.tensor([[0.0, 1.0, 2.0], [1.0, 1.0, 1.0]])


def test_draws_are_int64_one_hot_rows():
    value = OneHotCategorical(logits=LOGITS).sample((50,))
    assert value.dtype == torch.int64
    assert value.shape == (50, 2, 3)
    assert (value.sum(-1) == 1).all()


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.float32])
def test_log_prob_takes_any_dtype(dtype):
    value = torch.tensor([[0, 0, 1], [0, 1, 0]]).to(dtype)
    expected = FusedCategorical(logits=LOGITS).log_prob(torch.tensor([2, 1]))
    torch.testing.assert_close(OneHotCategorical(logits=LOGITS).log_prob(value), expected)


def test_draw_is_that_of_the_categorical():
    torch.manual_seed(0)
    rows, score = OneHotCategorical(logits=LOGITS).sample_and_log_prob((4,))
    torch.manual_seed(0)
    index, other = FusedCategorical(logits=LOGITS).sample_and_log_prob((4,))
    assert torch.equal(rows.argmax(-1), index)
    assert torch.equal(score, other)


@pytest.mark.parametrize("shape", [(2,), (2, 1), (), (5, 2)])
def test_integer_actions_are_refused(shape):
    with pytest.raises(ShapeError, match="For integer actions use `FusedCategorical`"):
        OneHotCategorical(logits=LOGITS).log_prob(torch.zeros(shape, dtype=torch.int64))


def test_integer_actions_are_refused_when_batch_and_classes_have_one_size():
    with pytest.raises(ShapeError, match="one_hot"):
        OneHotCategorical(logits=torch.zeros(3, 3)).log_prob(torch.zeros(3, dtype=torch.int64))


def test_pass_through_gradient_is_that_of_the_probabilities():
    logits = LOGITS.clone().requires_grad_()
    value = OneHotCategorical(logits=logits).rsample()
    weight = torch.tensor([1.0, -2.0, 0.5])
    (got,) = torch.autograd.grad((value * weight).sum(), logits)
    other = LOGITS.clone().requires_grad_()
    (expected,) = torch.autograd.grad((other.softmax(-1) * weight).sum(), other)
    torch.testing.assert_close(got, expected)
    assert set(value.detach().unique().tolist()) == {0.0, 1.0}


def test_relaxed_gradient():
    logits = LOGITS.clone().requires_grad_()
    dist = OneHotCategorical(logits=logits, grad_method=ReparamGradientStrategy.RelaxedOneHot)
    value, score = dist.rsample_and_log_prob((3,))
    (value * torch.tensor([1.0, -2.0, 0.5])).sum().backward()
    assert logits.grad.abs().sum() > 0
    torch.testing.assert_close(score, dist.log_prob(value.detach().round()))


def test_mode_has_one_entry_when_classes_tie():
    assert OneHotCategorical(logits=LOGITS).mode.tolist() == [[0, 0, 1], [1, 0, 0]]


def test_mean_raises_and_probs_are_there():
    dist = OneHotCategorical(logits=torch.zeros(4))
    with pytest.raises(RLError, match=r"read `dist\.probs`"):
        _ = dist.mean
    torch.testing.assert_close(dist.probs, torch.full((4,), 0.25))


def test_masked():
    mask = torch.tensor([[True, False, True], [True, True, True]])
    dist = MaskedOneHotCategorical(logits=LOGITS, mask=mask)
    illegal = torch.eye(3, dtype=torch.int64)[[1, 1]]
    assert dist.log_prob(illegal)[0] == -math.inf
    assert not dist.sample((500,))[:, 0, 1].any()
    torch.testing.assert_close(
        dist.entropy(), torch.tensor([0.3653, math.log(3)]), atol=1e-4, rtol=0
    )


def test_enumerate_support_and_kl():
    dist = OneHotCategorical(logits=LOGITS)
    rows = dist.enumerate_support()
    assert rows.shape == (3, 2, 3)
    torch.testing.assert_close(dist.log_prob(rows).exp().sum(0), torch.ones(2))
    other = OneHotCategorical(logits=LOGITS.flip(-1))
    expected = kl_divergence(
        FusedCategorical(logits=LOGITS), FusedCategorical(logits=LOGITS.flip(-1))
    )
    torch.testing.assert_close(kl_divergence(dist, other), expected)
