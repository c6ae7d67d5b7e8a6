"""Scores of every distribution against scipy in float64, in every dtype, at the bounds too."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from rl.core.distributions import (
    FusedCategorical,
    IndependentNormal,
    LLMMaskedCategorical,
    MaskedCategorical,
    MaskedOneHotCategorical,
    OneHotCategorical,
    OneHotOrdinal,
    Ordinal,
    TanhNormal,
    TruncatedNormal,
    TruncatedStandardNormal,
)

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
locs, log_scales = st.floats(-3, 3), st.floats(-1.5, 1.0)
few = settings(max_examples=30, deadline=None)


def tensors(dtype, *values):
    """Return values as a dtype holds them, and what it holds in float64."""
    rounded = [torch.tensor([value], dtype=dtype) for value in values]
    return rounded, [tensor.double().numpy() for tensor in rounded]


def check(score, expected, dtype):
    """The score is the exact one but for a few roundings of the dtype."""
    assert score.dtype == dtype
    eps = torch.finfo(dtype).eps
    bound = np.abs(expected) * 2 * eps + max(2 * eps, 2e-6 if dtype == torch.float32 else 0.0)
    if dtype == torch.float64:
        bound = bound + 1e-9
    assert np.all(np.abs(score.double().numpy() - expected) <= bound), (score, expected)


def tanh_normal(y, loc, scale, low=-1.0, high=1.0):
    """Return the log-density of a squashed Gaussian: d u / d y is 1 / (half (1 - z^2))."""
    half, mid = (high - low) / 2, (high + low) / 2
    z = (y - mid) / half
    return stats.norm.logpdf(np.arctanh(z), loc, scale) - np.log1p(-(z**2)) - math.log(half)


@pytest.mark.parametrize("dtype", DTYPES)
@given(locs, log_scales, st.floats(-4, 4))
@few
def test_normal(dtype, loc, log_scale, value):
    (mean, scale, x), exact = tensors(dtype, loc, math.exp(log_scale), value)
    dist = IndependentNormal(mean, scale)
    check(dist.log_prob(x), stats.norm.logpdf(exact[2], *exact[:2]).sum(), dtype)
    check(dist.entropy(), stats.norm.entropy(*exact[:2]).sum(), dtype)
    drawn, score = dist.sample_and_log_prob((6,))
    check(score, stats.norm.logpdf(drawn.double().numpy(), *exact[:2]).sum(-1), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bounds", [(-1.0, 1.0), (-2.0, 3.0)])
@given(locs, log_scales, st.floats(-0.98, 0.98))
@few
def test_tanh_normal_of_given_values(dtype, bounds, loc, log_scale, z):
    low, high = bounds
    (mean, scale, y), exact = tensors(
        dtype, loc, math.exp(log_scale), (low + high) / 2 + z * (high - low) / 2
    )
    score = TanhNormal(mean, scale, low=low, high=high).log_prob(y)
    expected = tanh_normal(exact[2], *exact[:2], low, high).sum()
    # float32 values near a bound know their distance to it only so well
    slack = 1.0 if dtype != torch.float32 else 40.0
    check(score / slack, expected / slack, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@given(st.floats(-12, 12), log_scales)
@few
def test_tanh_normal_of_own_draws_in_saturation(dtype, loc, log_scale):
    (mean, scale), exact = tensors(dtype, loc, math.exp(log_scale))
    dist = TanhNormal(mean, scale)
    for draw in (dist.rsample_and_log_prob, dist.sample_and_log_prob):
        value, score = draw((8,))
        u = dist._before.double().numpy()
        slope = 2 * (math.log(2) - np.logaddexp(u, -u))
        expected = (stats.norm.logpdf(u, *exact) - slope).sum(-1)
        # the noise in units of scale, before `loc` was added
        spread = np.abs(u - exact[0]).sum(-1) / exact[1] ** 2 * np.abs(u).sum(-1)
        eps = torch.finfo(dtype).eps
        slack = 0.0 if dtype.itemsize < 4 else 4 * eps * (spread + 20)
        for found in (score, dist.log_prob(value)):
            error = np.abs(found.double().numpy() - expected)
            assert np.all(error <= 2 * eps * (np.abs(expected) + 1) + slack), (error, expected)


@pytest.mark.parametrize("safe", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
@given(st.floats(-12, 12), st.floats(-5, 2), st.sampled_from([-1.0, 1.0]))
@few
def test_bounds_have_finite_scores_and_gradients(dtype, safe, loc, log_scale, bound):
    mean = torch.tensor([loc], dtype=dtype, requires_grad=True)
    scale = torch.tensor([math.exp(log_scale)], dtype=dtype, requires_grad=True)
    dist = TanhNormal(mean, scale, safe_tanh=safe)
    score = dist.log_prob(torch.full((1,), bound, dtype=dtype))
    assert score.isfinite()
    score.backward()
    assert mean.grad.isfinite().all()
    if dtype is not torch.float16:  # whose largest number is 65504
        assert scale.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_rounded_bound_scores_as_what_rounds_to_it(dtype):
    # 1 stands for [1 - eps / 4, 1]: the largest value below it scores nearly the same
    below = 1 - torch.finfo(dtype).eps / 2
    dist = TanhNormal(torch.tensor([2.0], dtype=dtype), torch.tensor([1.0], dtype=dtype))
    scores = [dist.log_prob(torch.tensor([y], dtype=dtype)).item() for y in (below, 1.0)]
    assert scores[1] == pytest.approx(scores[0], abs=1.0)


@pytest.mark.parametrize("dtype", DTYPES)
@given(locs, log_scales, st.floats(-1, 1))
@few
def test_truncated_normal(dtype, loc, log_scale, value):
    (mean, scale, x), exact = tensors(dtype, loc, math.exp(log_scale), value)
    ends = [(bound - exact[0]) / exact[1] for bound in (-1.0, 1.0)]
    expected = stats.truncnorm.logpdf(exact[2], *ends, *exact[:2]).sum()
    check(TruncatedNormal(mean, scale).log_prob(x) / 4, expected / 4, dtype)


@given(st.floats(-6, 2), st.floats(0.1, 6), st.floats(0, 1))
@few
def test_truncated_standard_normal(low, width, share):
    a, b = (
        torch.tensor([low], dtype=torch.float64),
        torch.tensor([low + width], dtype=torch.float64),
    )
    dist = TruncatedStandardNormal(a, b)
    reference = stats.truncnorm(low, low + width)
    x = low + share * width
    assert dist.log_prob(torch.tensor([x], dtype=torch.float64)).item() == pytest.approx(
        reference.logpdf(x), abs=1e-8
    )
    assert dist.mean.item() == pytest.approx(reference.mean(), abs=1e-8)
    assert dist.variance.item() == pytest.approx(reference.var(), abs=1e-8)


logits = st.lists(st.floats(-15, 15), min_size=2, max_size=6)


def one_hot(index, dist):
    return torch.nn.functional.one_hot(torch.tensor(index), dist.num_events)


@pytest.mark.parametrize("dtype", DTYPES)
@given(logits, st.integers(0, 5))
@few
def test_categorical(dtype, values, index):
    index %= len(values)
    given_logits = torch.tensor(values, dtype=dtype)
    log_probs = special.log_softmax(given_logits.double().numpy())
    dist = FusedCategorical(logits=given_logits)
    check(dist.log_prob(torch.tensor(index)), log_probs[index], dtype)
    check(dist.entropy() / 8, stats.entropy(np.exp(log_probs)) / 8, dtype)
    hot = OneHotCategorical(logits=given_logits)
    check(hot.log_prob(one_hot(index, hot)), log_probs[index], dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@given(logits, st.integers(0, 5), st.integers(0, 63))
@few
def test_masked_categorical(dtype, values, index, bits):
    index %= len(values)
    given_logits = torch.tensor(values, dtype=dtype)
    mask = torch.tensor([bool(bits >> i & 1) or i == index for i in range(len(values))])
    legal = given_logits.double().numpy()[mask.numpy()]
    expected = given_logits.double().numpy()[index] - special.logsumexp(legal)
    value = torch.tensor(index)
    for dist, action in (
        (MaskedCategorical(logits=given_logits, mask=mask), value),
        (MaskedOneHotCategorical(logits=given_logits, mask=mask), one_hot(index, hot(values))),
        (MaskedCategorical(logits=given_logits, indices=mask.nonzero().squeeze(-1)), value),
    ):
        check(dist.log_prob(action), expected, dtype)
    tokens = LLMMaskedCategorical(given_logits, mask)
    wide = dtype if dtype.itemsize >= 4 else torch.float32
    check(tokens.log_prob(value), expected, wide)


def hot(values):
    return OneHotCategorical(logits=torch.tensor(values))


@pytest.mark.parametrize("dtype", DTYPES)
@given(st.lists(st.floats(-4, 4), min_size=2, max_size=6), st.integers(0, 5))
@few
def test_ordinal(dtype, values, index):
    index %= len(values)
    scores = torch.tensor(values, dtype=dtype)
    x = scores.double().numpy()
    terms = [
        special.log_expit(x[: i + 1]).sum() + special.log_expit(-x[i + 1 :]).sum()
        for i in range(len(x))
    ]
    expected = special.log_softmax(terms)[index]
    check(Ordinal(scores).log_prob(torch.tensor(index)) / 4, expected / 4, dtype)
    dist = OneHotOrdinal(scores)
    check(dist.log_prob(one_hot(index, dist)) / 4, expected / 4, dtype)
