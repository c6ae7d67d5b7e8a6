"""The conformance kit of distributions: do draws, scores and moments agree?"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution

from rl.core.distributions.fused import rsample_and_log_prob, sample_and_log_prob
from rl.core.errors import RLError

__all__ = ["check_distribution"]


def check_distribution(dist: Distribution, *, samples: int = 20_000, atol: float = 0.05) -> None:
    """Raise unless `dist` is one consistent distribution.

    It checks shapes of draws and scores; that draws lie in the support and have no graph; that the
    fused draw has the score that `log_prob` gives; that reparameterised draws have gradients;
    that expansion keeps the law; and, against `samples` draws, the mean, the variance and the
    entropy, where there are any.

    Args:
        dist: a distribution whose parameters require gradients, if `rsample` is to be checked.
        samples: number of draws of the Monte Carlo checks.
        atol: tolerance of the Monte Carlo checks, in units of the statistic's scale.

    Raises:
        AssertionError: names the property that does not hold.

    Example:
        >>> from rl.core.distributions import FusedCategorical
        >>> check_distribution(FusedCategorical(logits=torch.zeros(3, 2)), samples=5_000)
    """
    _check_shapes(dist)
    _check_fused(dist)
    _check_deterministic(dist)
    _check_expand(dist)
    if dist.has_rsample and _has_gradients(dist):
        _check_gradients(dist)
    with torch.no_grad():
        _check_moments(dist, dist.sample((samples,)), atol)


def _require(condition: bool | Tensor, dist: Distribution, message: str) -> None:
    if not condition:
        raise AssertionError(f"{type(dist).__name__} conformance: {message}.")


def _check_shapes(dist: Distribution) -> None:
    for lead in ((), (3,), (2, 3)):
        value = dist.sample(lead)
        expected = (*lead, *dist.batch_shape, *dist.event_shape)
        _require(
            value.shape == expected,
            dist,
            f"sample({lead}) has shape {list(value.shape)}, expected {list(expected)}",
        )
        score = dist.log_prob(value)
        expected = (*lead, *dist.batch_shape)
        _require(
            score.shape == expected,
            dist,
            f"log_prob of sample({lead}) has shape {list(score.shape)}, expected {list(expected)}",
        )
        _require(not value.requires_grad, dist, "`sample` returns a value with a graph")
        _require(not score.isnan().any(), dist, "a draw has log-probability nan")
        _require((score > -torch.inf).all(), dist, "a draw has log-probability -inf")
        _require(dist.support.check(value).all(), dist, "a draw lies outside the support")


def _check_fused(dist: Distribution) -> None:
    pairs = [("sample_and_log_prob", sample_and_log_prob)]
    if dist.has_rsample:
        pairs.append(("rsample_and_log_prob", rsample_and_log_prob))
    for name, fused in pairs:
        for lead in ((), (5,)):
            value, score = fused(dist, lead)
            close = torch.allclose(score, dist.log_prob(value), rtol=1e-4, atol=1e-4)
            _require(close, dist, f"`{name}` and `log_prob` give different scores")
            _require(
                name != "sample_and_log_prob" or not value.requires_grad,
                dist,
                "`sample_and_log_prob` returns a value with a graph",
            )


def _check_deterministic(dist: Distribution) -> None:
    value = dist.deterministic_sample
    expected = dist.batch_shape + dist.event_shape
    _require(value.shape == expected, dist, "`deterministic_sample` has the wrong shape")
    _require(dist.support.check(value).all(), dist, "`deterministic_sample` is outside the support")
    _require(not dist.log_prob(value).isnan().any(), dist, "`deterministic_sample` scores nan")


def _check_expand(dist: Distribution) -> None:
    wide = dist.expand(torch.Size((2, *dist.batch_shape)))
    _require(wide.batch_shape == (2, *dist.batch_shape), dist, "`expand` gives the wrong batch")
    value = dist.sample()
    scores = wide.log_prob(value.expand(wide.batch_shape + wide.event_shape))
    same = torch.allclose(scores, dist.log_prob(value.clone()).expand_as(scores), atol=1e-5)
    _require(same, dist, "`expand` changes log-probabilities")


def _has_gradients(dist: Distribution) -> bool:
    """Return whether parameters of `dist` require gradients."""
    # a point mass scores a constant, and holds its parameter itself
    held = [value for value in vars(dist).values() if isinstance(value, Tensor)]
    scored = dist.log_prob(dist.sample())
    return any(value.requires_grad for value in (scored, *held))


def _check_gradients(dist: Distribution) -> None:
    value, score = rsample_and_log_prob(dist)
    _require(value.requires_grad, dist, "`rsample` of parameters with gradients has none")
    # a point mass scores a constant
    if score.requires_grad:
        _require(score.isfinite().all(), dist, "`rsample_and_log_prob` gives an infinite score")


def _check_moments(dist: Distribution, draws: Tensor, atol: float) -> None:
    values = draws.double()
    mean, variance, entropy = (_get(dist, name) for name in ("mean", "variance", "entropy"))
    if mean is not None:
        scale = values.std(0).clamp(min=1e-3)
        error = ((values.mean(0) - mean).abs() / scale).max()
        _require(error < atol, dist, f"`mean` differs from the mean of draws by {error:.3f} std")
    if variance is not None:
        scale = values.var(0).clamp(min=1e-3)
        error = ((values.var(0) - variance).abs() / scale).max()
        _require(error < 2 * atol, dist, f"`variance` differs from that of draws by {error:.1%}")
    if entropy is not None:
        score = dist.log_prob(draws)
        error = (entropy + score.mean(0)).abs()
        spread = atol * score.std(0).clamp(min=1.0)
        _require(
            (error < spread).all(),
            dist,
            f"`entropy` differs from minus the mean log-probability by {error.max():.3f}",
        )


def _get(dist: Distribution, name: str) -> Tensor | None:
    try:
        value = getattr(dist, name)
        return value() if callable(value) else value
    except (NotImplementedError, RLError):
        return None
