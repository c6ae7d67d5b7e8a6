import pytest
import torch

from rl.core.distributions import (
    Delta,
    FusedCategorical,
    IndependentNormal,
    MaskedCategorical,
    MaskedOneHotCategorical,
    OneHotCategorical,
    TanhDelta,
    TanhNormal,
    TruncatedNormal,
)
from rl.core.testing.distributions import check_distribution


def params(*shape):
    torch.manual_seed(0)
    loc = torch.randn(shape).requires_grad_()
    scale = (torch.rand(shape) + 0.3).requires_grad_()
    return loc, scale


def logits():
    torch.manual_seed(0)
    return torch.randn(3, 4).requires_grad_()


MASK = torch.tensor([[True, False, True, True], [True] * 4, [False, False, True, False]])

SUBJECTS = {
    "categorical": lambda: FusedCategorical(logits=logits()),
    "categorical probs": lambda: FusedCategorical(probs=torch.tensor([[0.5, 0.0, 1.5]])),
    "one-hot": lambda: OneHotCategorical(logits=logits()),
    "masked": lambda: MaskedCategorical(logits=logits(), mask=MASK),
    "masked one-hot": lambda: MaskedOneHotCategorical(logits=logits(), mask=MASK),
    "normal": lambda: IndependentNormal(*params(3, 2)),
    "normal, bounded mean": lambda: IndependentNormal(*params(3, 2), tanh_loc=True),
    "normal, scalar events": lambda: IndependentNormal(*params(3, 2), event_dim=0),
    "normal, matrix events": lambda: IndependentNormal(*params(3, 2, 2), event_dim=2),
    "tanh-normal": lambda: TanhNormal(*params(3, 2)),
    "tanh-normal, box": lambda: TanhNormal(*params(3, 2), low=-2.0, high=3.0, tanh_loc=True),
    "tanh-normal, tensor box": lambda: TanhNormal(
        *params(3, 2), low=torch.tensor([-2.0, -1.0]), high=torch.tensor([3.0, 5.0])
    ),
    "tanh-normal, scalar events": lambda: TanhNormal(*params(3, 2), event_dims=0),
    "tanh-normal, no batch": lambda: TanhNormal(*params(2)),
    "truncated": lambda: TruncatedNormal(*params(3, 2)),
    "truncated, box": lambda: TruncatedNormal(*params(3, 2), low=-2.0, high=0.5, tanh_loc=True),
    "delta": lambda: Delta(params(3, 2)[0]),
    "tanh-delta": lambda: TanhDelta(params(3, 2)[0], low=-2.0, high=3.0),
}


@pytest.mark.parametrize("name", SUBJECTS)
def test_distribution_is_consistent(name):
    check_distribution(SUBJECTS[name]())


def test_parameters_without_gradients_are_no_fault():
    check_distribution(IndependentNormal(torch.zeros(3, 2), torch.ones(3, 2)))


class ShiftedScore(IndependentNormal):
    def log_prob(self, value):
        return super().log_prob(value) + 1.0


class WrongMean(IndependentNormal):
    @property
    def mean(self):
        return self.loc + 1.0


class GraphInSample(IndependentNormal):
    def sample(self, sample_shape=()):
        return self.rsample(sample_shape)


class SampleOfOtherShape(IndependentNormal):
    def sample(self, sample_shape=()):
        return super().sample(sample_shape)[..., :1]


class ScoreOfOtherShape(IndependentNormal):
    def log_prob(self, value):
        return super().log_prob(value).unsqueeze(-1)


class NanScore(IndependentNormal):
    def log_prob(self, value):
        return super().log_prob(value) * torch.nan


class ImpossibleDraw(IndependentNormal):
    def log_prob(self, value):
        return super().log_prob(value) - torch.inf


class DrawsOutside(TanhNormal):
    def sample(self, sample_shape=()):
        return super().sample(sample_shape) * 3

    def log_prob(self, value):
        return torch.zeros(value.shape[:-1])


class ModeOfOtherShape(IndependentNormal):
    @property
    def deterministic_sample(self):
        return self.loc[..., :1]


class ModeOutside(TanhNormal):
    @property
    def deterministic_sample(self):
        return torch.full_like(self.loc, 3.0)


class ExpandsToOneMore(IndependentNormal):
    def expand(self, batch_shape, _instance=None):
        return super().expand((1, *batch_shape))


class ExpandsToAnother(IndependentNormal):
    def expand(self, batch_shape, _instance=None):
        loc, scale = (t.expand(*batch_shape, 2) for t in (self.loc, self.scale))
        return IndependentNormal(loc + 1, scale)


class NoGradient(IndependentNormal):
    def rsample(self, sample_shape=()):
        return super().rsample(sample_shape).detach()

    def rsample_and_log_prob(self, sample_shape=()):
        value = self.rsample(sample_shape)
        return value, self.log_prob(value)


class PointWithoutGradient(Delta):
    def rsample(self, sample_shape=()):
        return super().rsample(sample_shape).detach()


class WrongVariance(IndependentNormal):
    @property
    def variance(self):
        return self.scale.square() * 2


class WrongEntropy(IndependentNormal):
    def entropy(self):
        return super().entropy() + 1


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (ShiftedScore, "`rsample_and_log_prob` and `log_prob` give different scores"),
        (WrongMean, "`mean` differs from the mean of draws"),
        (GraphInSample, "`sample` returns a value with a graph"),
        (SampleOfOtherShape, r"sample\(\(\)\) has shape \[3, 1\], expected \[3, 2\]"),
        (ScoreOfOtherShape, r"log_prob of sample\(\(\)\) has shape \[3, 1\], expected \[3\]"),
        (NanScore, "a draw has log-probability nan"),
        (ImpossibleDraw, "a draw has log-probability -inf"),
        (DrawsOutside, "a draw lies outside the support"),
        (ModeOfOtherShape, "`deterministic_sample` has the wrong shape"),
        (ModeOutside, "`deterministic_sample` is outside the support"),
        (ExpandsToOneMore, "`expand` gives the wrong batch"),
        (ExpandsToAnother, "`expand` changes log-probabilities"),
        (NoGradient, "`rsample` of parameters with gradients has none"),
        (WrongVariance, "`variance` differs from that of draws"),
        (WrongEntropy, "`entropy` differs from minus the mean log-probability"),
    ],
)
def test_kit_catches(kind, message):
    with pytest.raises(AssertionError, match=message):
        check_distribution(kind(*params(3, 2)))


def test_kit_catches_a_point_without_gradient():
    with pytest.raises(AssertionError, match="`rsample` of parameters with gradients has none"):
        check_distribution(PointWithoutGradient(params(3, 2)[0]))
