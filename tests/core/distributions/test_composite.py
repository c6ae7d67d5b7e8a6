import math

import pytest
import torch
from tensordict import TensorDict
from tensordict.nn import CompositeDistribution, set_composite_lp_aggregate
from torch.distributions import Normal, TransformedDistribution
from torch.distributions.transforms import TanhTransform

from rl.core.distributions import FusedCategorical, IndependentNormal, composite_entropy


class Squashed(TransformedDistribution):
    """Has no entropy of its own."""

    def __init__(self, loc):
        super().__init__(Normal(loc, 1.0), TanhTransform(), validate_args=False)


class Wide(IndependentNormal):
    """Each element is an event."""

    def __init__(self, loc, scale):
        super().__init__(loc, scale, event_dim=0)


def make():
    params = TensorDict(
        {
            "move": {"loc": torch.zeros(3, 2), "scale": torch.ones(3, 2)},
            ("agent", "button"): {"logits": torch.zeros(3, 4)},
            "each": {"loc": torch.zeros(3, 2), "scale": torch.ones(3, 2)},
        },
        batch_size=[3],
    )
    parts = {"move": IndependentNormal, ("agent", "button"): FusedCategorical, "each": Wide}
    return CompositeDistribution(params, distribution_map=parts)


GAUSS = 0.5 * math.log(2 * math.pi * math.e)


def test_parts():
    with set_composite_lp_aggregate(False):
        parts = composite_entropy(make())
    assert parts.batch_size == (3,)
    torch.testing.assert_close(parts["move_entropy"], torch.full((3,), 2 * GAUSS))
    torch.testing.assert_close(parts["each_entropy"], torch.full((3, 2), GAUSS))
    torch.testing.assert_close(parts["agent", "button_entropy"], torch.full((3,), math.log(4)))


def test_sum():
    with set_composite_lp_aggregate(True):
        total = composite_entropy(make())
    torch.testing.assert_close(total, torch.full((3,), 4 * GAUSS + math.log(4)))


def test_parts_without_an_entropy_are_drawn():
    torch.manual_seed(0)
    loc = torch.zeros(2, requires_grad=True)
    params = TensorDict({"a": {"loc": loc}}, batch_size=[2])
    dist = CompositeDistribution(params, distribution_map={"a": Squashed})
    with set_composite_lp_aggregate(True):
        few, many = composite_entropy(dist), composite_entropy(dist, samples_mc=50_000)
    assert few.shape == (2,)
    # E log(1 - tanh(u)^2) of a standard normal u, by quadrature
    u = torch.linspace(-12, 12, 100_001, dtype=torch.float64)
    slope = 2 * (math.log(2) - torch.logaddexp(u, -u))
    expected = GAUSS + torch.trapezoid(Normal(0.0, 1.0).log_prob(u).exp() * slope, u)
    torch.testing.assert_close(many, expected.float().expand(2), atol=0.02, rtol=0)
    assert torch.autograd.grad(many.sum(), loc)[0].isfinite().all()
    with pytest.raises(ValueError, match="expected 1 or more"):
        composite_entropy(dist, samples_mc=0)
