import math

import pytest
import torch

from rl.core.distributions import FusedCategorical, LLMMaskedCategorical
from rl.core.errors import ShapeError

LOGITS = torch.tensor([[[0.0, 1.0, 2.0], [1.0, 1.0, 1.0], [5.0, 0.0, 0.0]]])
POSITIONS = torch.tensor([[True, True, False]])
TOKENS = torch.tensor([[[True, True, False], [True, True, True], [False, True, True]]])


def test_log_prob_by_hand():
    dist = LLMMaskedCategorical(LOGITS, POSITIONS)
    log_z = math.log(1 + math.e + math.e**2)
    expected = torch.tensor([[1 - log_z, -math.log(3), 0.0]])
    torch.testing.assert_close(dist.log_prob(torch.tensor([[1, 0, 2]])), expected)


def test_ignored_tokens_score_zero():
    value = torch.tensor([[-100, 0, -100]])
    expected = torch.tensor([[0.0, -math.log(3), 0.0]])
    for mask in (POSITIONS, TOKENS):
        score = LLMMaskedCategorical(LOGITS, mask).log_prob(value)
        torch.testing.assert_close(score, expected)
    other = LLMMaskedCategorical(LOGITS, POSITIONS, ignore_index=7)
    torch.testing.assert_close(other.log_prob(value.masked_fill(value < 0, 7)), expected)


def test_masked_tokens_are_impossible():
    torch.manual_seed(0)
    dist = LLMMaskedCategorical(LOGITS, TOKENS)
    score = dist.log_prob(torch.tensor([[2, 2, 1]]))
    torch.testing.assert_close(score, torch.tensor([[-torch.inf, -math.log(3), -math.log(2)]]))
    drawn = dist.sample((300,))
    assert drawn.shape == (300, 1, 3)
    assert TOKENS.expand(300, 1, 3, 3).gather(-1, drawn.unsqueeze(-1)).all()
    assert dist.mode.tolist() == [[1, 0, 1]]
    torch.testing.assert_close(dist.probs[0, 2], torch.tensor([0.0, 0.5, 0.5]))


def test_positions_that_do_not_count_have_no_token():
    torch.manual_seed(0)
    dist = LLMMaskedCategorical(LOGITS.flip(-1), POSITIONS)
    assert not dist.sample((50,))[..., 2].any()
    assert dist.mode.tolist() == [[0, 0, 0]]
    entropy = FusedCategorical(logits=LOGITS).entropy()
    torch.testing.assert_close(dist.entropy(), torch.where(POSITIONS, entropy, 0.0))


def test_draws_follow_the_probabilities_and_the_fused_score_agrees():
    torch.manual_seed(0)
    dist = LLMMaskedCategorical(LOGITS, TOKENS)
    value, score = dist.sample_and_log_prob((5000,))
    torch.testing.assert_close(score, dist.log_prob(value))
    share = (value[:, 0, 0] == 1).float().mean()
    assert share.item() == pytest.approx(math.e / (1 + math.e), abs=0.02)


def test_padding_has_no_gradient():
    logits = LOGITS.clone().requires_grad_()
    score = LLMMaskedCategorical(logits, POSITIONS).log_prob(torch.tensor([[0, -100, 1]]))
    score.sum().backward()
    assert logits.grad[0, 0].abs().sum() > 0
    assert not logits.grad[0, 1:].any()


def test_a_row_without_legal_tokens_spoils_no_gradient():
    logits = LOGITS.clone().requires_grad_()
    mask = TOKENS.clone()
    mask[0, 1] = False
    score = LLMMaskedCategorical(logits, mask).log_prob(torch.tensor([[0, -100, 1]]))
    score.sum().backward()
    assert score.isfinite().all()
    assert logits.grad.isfinite().all()


def test_half_precision_scores_are_float32():
    dist = LLMMaskedCategorical(LOGITS.bfloat16(), POSITIONS)
    value, score = dist.sample_and_log_prob()
    assert score.dtype == torch.float32
    exact = LLMMaskedCategorical(LOGITS.bfloat16().double(), POSITIONS).log_prob(value)
    torch.testing.assert_close(score.double(), exact, rtol=1e-6, atol=1e-6)


def test_bad_input():
    for mask in (torch.ones(1, 4, dtype=torch.bool), torch.ones(1, 3)):
        with pytest.raises(ShapeError, match=r"expected torch\.bool of shape \[1, 3\] \(positions"):
            LLMMaskedCategorical(LOGITS, mask)
    with pytest.raises(ShapeError, match="one token for each row of logits"):
        LLMMaskedCategorical(LOGITS, POSITIONS).log_prob(torch.zeros(1, 2, dtype=torch.int64))
