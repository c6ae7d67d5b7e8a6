import pytest
import torch
from torch.distributions import Categorical as TorchCategorical
from torch.distributions import Distribution, Normal

from rl.core.distributions import (
    FusedCategorical,
    FusedDistribution,
    TanhNormal,
    rsample_and_log_prob,
    sample_and_log_prob,
)


@pytest.mark.parametrize("lead", [(), (4,)])
def test_foreign_distributions_draw_then_score(lead):
    dist = Normal(torch.zeros(3), torch.ones(3))
    for fused in (sample_and_log_prob, rsample_and_log_prob):
        value, score = fused(dist, lead)
        assert value.shape == (*lead, 3)
        assert torch.equal(score, dist.log_prob(value))


def test_our_distributions_take_their_own_pass(monkeypatch):
    dist = TanhNormal(torch.zeros(2, 3), torch.ones(2, 3))
    monkeypatch.setattr(dist, "log_prob", lambda _: pytest.fail("scored in a second pass"))
    with torch.no_grad():
        _, score = sample_and_log_prob(dist)
    assert score.shape == (2,)


def test_without_rsample():
    with pytest.raises(NotImplementedError):
        rsample_and_log_prob(TorchCategorical(logits=torch.zeros(2)))


def test_nothing_is_validated():
    dist = FusedCategorical(logits=torch.full((1, 2), torch.nan))
    assert isinstance(dist, Distribution)
    assert isinstance(dist, FusedDistribution)
    assert dist.logits.isnan().all()


def test_expand_shares_no_draw():
    dist = TanhNormal(torch.zeros(3), torch.ones(3))
    wide = dist.expand(torch.Size([2]))
    assert wide.rsample().shape == (2, 3)
    assert dist.rsample().shape == (3,)
