import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import kl_divergence

from rl.core.distributions import FusedCategorical, MaskedCategorical
from rl.core.errors import RLError, ShapeError

LOGITS = torch.tensor([[0.0, 1.0, 2.0], [1.0, 1.0, 1.0]])


def test_log_prob_by_hand():
    dist = FusedCategorical(logits=LOGITS)
    log_z = math.log(1 + math.e + math.e**2)
    expected = torch.tensor([1 - log_z, -math.log(3)])
    torch.testing.assert_close(dist.log_prob(torch.tensor([1, 0])), expected)


def test_entropy_by_hand():
    assert FusedCategorical(logits=torch.zeros(4)).entropy().item() == pytest.approx(math.log(4))
    assert FusedCategorical(probs=torch.tensor([1.0, 0.0])).entropy().item() == 0.0


def test_probs_are_normalised_and_zero_stays_impossible():
    dist = FusedCategorical(probs=torch.tensor([1.0, 0.0, 3.0]))
    torch.testing.assert_close(dist.probs, torch.tensor([0.25, 0.0, 0.75]))
    assert dist.log_prob(torch.tensor(1)) == -math.inf
    assert not (dist.sample((2000,)) == 1).any()


def test_frequencies_follow_the_probabilities():
    torch.manual_seed(0)
    dist = FusedCategorical(probs=torch.tensor([0.1, 0.2, 0.7]))
    counts = dist.sample((20_000,)).bincount(minlength=3) / 20_000
    torch.testing.assert_close(counts, torch.tensor([0.1, 0.2, 0.7]), atol=0.015, rtol=0)


def test_fused_draw_equals_draw_then_score():
    dist = FusedCategorical(logits=LOGITS)
    torch.manual_seed(3)
    value, score = dist.sample_and_log_prob((7,))
    torch.manual_seed(3)
    other = dist.sample((7,))
    assert torch.equal(value, other)
    assert torch.equal(score, dist.log_prob(other))


def test_mode_takes_the_first_of_ties():
    assert FusedCategorical(logits=LOGITS).mode.tolist() == [2, 0]
    assert FusedCategorical(logits=LOGITS).deterministic_sample.tolist() == [2, 0]


def test_value_broadcasts_with_the_batch():
    dist = FusedCategorical(logits=LOGITS)
    assert dist.log_prob(torch.tensor(0)).shape == (2,)
    assert dist.log_prob(torch.zeros(5, 2, dtype=torch.int64)).shape == (5, 2)
    assert dist.log_prob(torch.zeros(5, 1, dtype=torch.int32)).shape == (5, 2)


def test_gradient_reaches_the_logits():
    logits = LOGITS.clone().requires_grad_()
    _, score = FusedCategorical(logits=logits).sample_and_log_prob()
    score.sum().backward()
    # d log p_a / d logits = onehot(a) - p sums to zero over the classes
    torch.testing.assert_close(logits.grad.sum(-1), torch.zeros(2), atol=1e-6, rtol=0)
    assert logits.grad.abs().sum() > 0


def test_entropy_gradient_is_finite_with_impossible_classes():
    logits = torch.zeros(1, 3, requires_grad=True)
    mask = torch.tensor([[True, True, False]])
    entropy = MaskedCategorical(logits=logits, mask=mask).entropy()
    entropy.sum().backward()
    assert entropy.item() == pytest.approx(math.log(2))
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    torch.manual_seed(0)
    dist = MaskedCategorical(
        logits=torch.zeros(4000, 3, dtype=dtype), mask=torch.tensor([True, False, True])
    )
    value, score = dist.sample_and_log_prob()
    assert score.dtype == dtype
    assert set(value.tolist()) == {0, 2}
    torch.testing.assert_close(score.exp().float(), torch.full((4000,), 0.5), atol=0.01, rtol=0)


def test_mask_and_indices_agree():
    logits = torch.arange(4.0).expand(2, 4)
    mask = torch.tensor([[True, False, True, False], [False, True, False, True]])
    dense = MaskedCategorical(logits=logits, mask=mask)
    sparse = MaskedCategorical(logits=logits, indices=torch.tensor([[0, 2], [1, 3]]))
    assert torch.equal(dense.logits, sparse.logits)
    # e^2 / (1 + e^2) = 0.8808
    torch.testing.assert_close(dense.log_prob(torch.tensor([2, 1])).exp()[0].item(), 0.8807971)
    assert dense.log_prob(torch.tensor([1, 1]))[0] == -math.inf


def test_padding_does_not_allow_or_forbid_class_zero():
    logits = torch.zeros(2, 3)
    indices = torch.tensor([[0, 2, -1], [1, -1, -1]])
    dist = MaskedCategorical(logits=logits, indices=indices, padding_value=-1)
    assert dist.mask.tolist() == [[True, False, True], [False, True, False]]


def test_masked_probs():
    dist = MaskedCategorical(
        probs=torch.tensor([0.2, 0.3, 0.5]), mask=torch.tensor([True, False, True])
    )
    torch.testing.assert_close(dist.probs, torch.tensor([2 / 7, 0.0, 5 / 7]))


def test_finite_neg_inf_keeps_a_row_without_legal_classes_finite():
    mask = torch.zeros(1, 3, dtype=torch.bool)
    dist = MaskedCategorical(logits=torch.zeros(1, 3), mask=mask, neg_inf=-1e9)
    torch.testing.assert_close(dist.probs, torch.full((1, 3), 1 / 3))


@given(st.integers(2, 6), st.integers(0, 2**31 - 1))
@settings(max_examples=30, deadline=None)
def test_masked_draws_are_legal(num, seed):
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(64, num, generator=generator) < 0.5
    mask[:, seed % num] = True
    logits = 20 * torch.randn(64, num, generator=generator)
    value, score = MaskedCategorical(logits=logits, mask=mask).sample_and_log_prob()
    assert mask.gather(-1, value.unsqueeze(-1)).all()
    assert score.isfinite().all()


def test_kl_by_hand():
    p = FusedCategorical(probs=torch.tensor([0.5, 0.5, 0.0]))
    q = FusedCategorical(probs=torch.tensor([0.25, 0.5, 0.25]))
    assert kl_divergence(p, q).item() == pytest.approx(0.5 * math.log(2))
    assert kl_divergence(q, p).item() == math.inf


def test_bad_input():
    with pytest.raises(RLError, match=r"both are given\. Give exactly one"):
        FusedCategorical(logits=LOGITS, probs=LOGITS)
    with pytest.raises(RLError, match="neither is given"):
        FusedCategorical()
    with pytest.raises(ShapeError, match="use `OneHotCategorical`"):
        FusedCategorical(logits=LOGITS).log_prob(torch.eye(3)[[0, 1]])
    with pytest.raises(RLError, match=r"`ExplorationType\.DETERMINISTIC`"):
        _ = FusedCategorical(logits=LOGITS).mean
    with pytest.raises(RLError, match="both missing: give the legal classes once"):
        MaskedCategorical(logits=LOGITS)
    mask = torch.ones(2, 3, dtype=torch.bool)
    with pytest.raises(RLError, match="both given"):
        MaskedCategorical(logits=LOGITS, mask=mask, indices=torch.zeros(2, 1, dtype=torch.int64))


def test_enumerate_support():
    dist = FusedCategorical(logits=LOGITS)
    assert dist.enumerate_support().shape == (3, 2)
    total = dist.log_prob(dist.enumerate_support()).exp().sum(0)
    torch.testing.assert_close(total, torch.ones(2))
