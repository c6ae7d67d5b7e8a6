import math

import pytest
import torch

from rl.core.errors import ShapeError
from rl.llm import TokenDistribution
from rl.llm.policies.token_distribution import token_entropy, token_log_prob

# next-token probabilities of a text of 3 tokens over a vocabulary of 2
PROBS = torch.tensor([[[0.25, 0.75], [0.5, 0.5], [0.9, 0.1]]])
ALL = torch.ones(1, 3, dtype=torch.bool)


def test_a_token_is_scored_by_the_row_before_it():
    dist = TokenDistribution(PROBS.log(), ALL)
    scores = dist.log_prob(torch.tensor([[0, 1, 0]]))
    expected = torch.tensor([[0.0, math.log(0.75), math.log(0.5)]])
    torch.testing.assert_close(scores, expected)


def test_what_is_masked_is_zero():
    everything = TokenDistribution(PROBS.log(), ALL)
    dist = everything.with_mask(torch.tensor([[True, False, True]]))
    assert dist.mask.tolist() == [[False, False, True]]
    assert dist.log_prob(torch.tensor([[0, 1, 0]]))[0, 1] == 0
    assert dist.entropy().tolist() == [[0.0, 0.0, pytest.approx(math.log(2))]]
    assert everything.log_prob(torch.tensor([[0, 1, 0]]))[0, 1] != 0


def test_the_first_token_behind_padding_has_no_score():
    dist = TokenDistribution(PROBS.log(), torch.tensor([[False, True, True]]))
    assert dist.mask.tolist() == [[False, False, True]]


def test_temperature_divides_the_logits():
    # at temperature 1/2 odds square: 0.75 to 0.25 becomes 9 to 1
    dist = TokenDistribution(PROBS.log(), ALL, temperature=0.5)
    assert dist.log_prob(torch.tensor([[0, 1, 0]]))[0, 1].exp() == pytest.approx(0.9)


def test_logits_are_aligned_with_the_tokens():
    dist = TokenDistribution(PROBS.log(), ALL)
    torch.testing.assert_close(dist.logits[:, 1:], PROBS.log()[:, :-1])
    assert dist.logits.shape == PROBS.shape


def test_half_precision_is_scored_in_float32():
    logits = torch.randn(1, 3, 50)
    token = torch.tensor([[1, 2, 3]])
    assert token_log_prob(logits.bfloat16(), token).dtype == torch.float32
    assert token_entropy(logits.bfloat16()).dtype == torch.float32
    assert token_log_prob(logits.double(), token).dtype == torch.float64


def test_scores_agree_with_the_library():
    logits = torch.randn(2, 3, 7)
    token = torch.randint(7, (2, 3))
    reference = torch.distributions.Categorical(logits=logits)
    torch.testing.assert_close(token_log_prob(logits, token), reference.log_prob(token))
    torch.testing.assert_close(token_entropy(logits), reference.entropy())


def test_shapes_are_checked():
    with pytest.raises(ShapeError, match="one entry per token"):
        TokenDistribution(PROBS.log(), ALL[:, :2])
    with pytest.raises(ShapeError, match="score the text"):
        TokenDistribution(PROBS.log(), ALL).log_prob(torch.zeros(1, 2, dtype=torch.long))
