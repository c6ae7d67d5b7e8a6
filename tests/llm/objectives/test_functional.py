import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rl.llm.objectives.functional import (
    aggregate_tokens,
    clipped_token_objective,
    effective_sample_fraction,
    k3_kl_token_estimate,
)

LOG = st.floats(-5, 0)


@given(LOG, LOG)
def test_k3_is_never_negative_and_zero_for_equal_policies(target, policy):
    estimate = k3_kl_token_estimate(torch.tensor(target), torch.tensor(policy))
    assert estimate >= -1e-6
    assert k3_kl_token_estimate(torch.tensor(target), torch.tensor(target)) == 0


def test_the_mean_of_k3_over_the_policy_is_the_divergence():
    p, q = torch.tensor([0.7, 0.3]), torch.tensor([0.4, 0.6])
    mean = (p * k3_kl_token_estimate(q.log(), p.log())).sum()
    torch.testing.assert_close(mean, (p * (p / q).log()).sum())


@pytest.mark.parametrize(
    ("ratio", "advantage", "objective", "held"),
    [
        (1.0, 2.0, 2.0, False),
        (1.5, 1.0, 1.3, True),  # high side of (0.1, 0.3)
        (0.5, 1.0, 0.5, False),
        (0.5, -1.0, -0.9, True),  # low side
        (1.5, -1.0, -1.5, False),
    ],
)
def test_the_two_sides_clip_apart(ratio, advantage, objective, held):
    low, high = torch.tensor(0.1), torch.tensor(0.3)
    weight = torch.tensor(math.log(ratio))
    value, clipped = clipped_token_objective(weight, torch.tensor(advantage), low, high)
    assert value == pytest.approx(objective)
    assert bool(clipped) is held


def test_aggregation_by_hand():
    value = torch.tensor([[1.0, 2.0, 3.0], [10.0, math.nan, math.nan], [math.nan] * 3])
    mask = torch.tensor([[True, True, True], [True, False, False], [False] * 3])
    assert aggregate_tokens(value, mask, "token_mean") == 4  # 16 / 4
    assert aggregate_tokens(value, mask, "prompt_mean") == 6  # (2 + 10) / 2
    assert aggregate_tokens(value, mask, "none").tolist() == [[1, 2, 3], [10, 0, 0], [0, 0, 0]]


def test_nothing_that_counts_is_zero_rather_than_nan():
    mask = torch.zeros(2, 3, dtype=torch.bool)
    for mode in ("token_mean", "prompt_mean"):
        assert aggregate_tokens(torch.ones(2, 3), mask, mode) == 0
    assert effective_sample_fraction(torch.zeros(2, 3), mask) == 0


def test_one_heavy_token_is_one_sample():
    mask = torch.ones(1, 4, dtype=torch.bool)
    assert effective_sample_fraction(torch.tensor([[50.0, 0, 0, 0]]), mask) == pytest.approx(0.25)
    # weights 1 and 3: (1 + 3)^2 / (1 + 9) / 2; the masked ones do not count
    mask = torch.tensor([[True, True, False, False]])
    weights = torch.tensor([[0.0, math.log(3), 9.0, 9.0]])
    assert effective_sample_fraction(weights, mask) == pytest.approx(0.8)
