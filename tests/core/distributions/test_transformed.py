import pytest
import torch
from torch.distributions import Independent, Normal, TransformedDistribution
from torch.distributions.transforms import (
    AffineTransform,
    ExpTransform,
    StickBreakingTransform,
    TanhTransform,
)

from rl.core.distributions import FasterTransformedDistribution, SafeTanhTransform, TanhNormal

BASES = {
    "scalar": lambda: Normal(torch.randn(4, 3).requires_grad_(), torch.ones(4, 3)),
    "vector": lambda: Independent(Normal(torch.randn(4, 3).requires_grad_(), torch.ones(4, 3)), 1),
}
CHAINS = {
    "one": [ExpTransform()],
    "two": [TanhTransform(), AffineTransform(1.0, 2.0)],
    "simplex": [AffineTransform(0.0, 0.5), StickBreakingTransform()],
}


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("chain", CHAINS)
def test_scores_equal_torch(base, chain):
    torch.manual_seed(0)
    base = BASES[base]()
    dist = FasterTransformedDistribution(base, CHAINS[chain])
    reference = TransformedDistribution(base, CHAINS[chain], validate_args=False)
    assert (dist.batch_shape, dist.event_shape) == (reference.batch_shape, reference.event_shape)
    for lead in ((), (5,)):
        value, score = dist.rsample_and_log_prob(lead)
        assert value.requires_grad
        torch.testing.assert_close(score, reference.log_prob(value), atol=1e-4, rtol=1e-4)
        value, score = dist.sample_and_log_prob(lead)
        assert not value.requires_grad
        assert score.requires_grad
        torch.testing.assert_close(score, reference.log_prob(value), atol=1e-4, rtol=1e-4)


def test_a_saturated_draw_is_scored_where_it_was_drawn():
    loc = torch.tensor([[9.0]], dtype=torch.float64)
    dist = FasterTransformedDistribution(Normal(loc, 0.5), SafeTanhTransform())
    torch.manual_seed(0)
    _, score = dist.rsample_and_log_prob()
    torch.manual_seed(0)
    _, exact = TanhNormal(loc, 0.5, event_dims=0).rsample_and_log_prob()
    torch.testing.assert_close(score, exact)
