"""Entropies, exact or from draws."""

import math

import pytest
import torch
from tensordict import TensorDict
from tensordict.nn import CompositeDistribution
from torch.distributions import Independent, Normal

from rl.core.distributions import FusedCategorical as Categorical
from rl.core.distributions import TanhNormal
from rl.objectives.losses.entropy import entropy_coefficients, entropy_of, head_entropies


def test_closed_form():
    assert entropy_of(Categorical(logits=torch.zeros(4))).item() == pytest.approx(math.log(4))


def test_independent():
    dist = Independent(Normal(torch.zeros(5, 2), 1.0), 1)
    torch.testing.assert_close(entropy_of(dist), dist.entropy())


def test_estimate_without_closed_form():
    torch.manual_seed(0)
    loc = torch.zeros(2, 1, requires_grad=True)
    dist = TanhNormal(loc, torch.ones(2, 1))
    estimate = entropy_of(dist, 20_000)
    assert estimate.shape == (2,)
    torch.testing.assert_close(estimate, dist.entropy(), atol=0.02, rtol=0)
    estimate.sum().backward()
    assert loc.grad is not None
    assert entropy_of(dist).shape == (2,)


def test_heads():
    dist = CompositeDistribution(
        TensorDict(
            {"a": {"logits": torch.zeros(3, 2)}, "b": {"logits": torch.zeros(3, 5, 4)}}, [3]
        ),
        distribution_map={"a": Categorical, "b": Categorical},
    )
    heads = head_entropies(dist, 1, 1)
    torch.testing.assert_close(heads["a"], torch.full((3,), math.log(2)))
    torch.testing.assert_close(heads["b"], torch.full((3,), 5 * math.log(4)))


def test_coefficients():
    heads = {("arm", "action"): None, "grip": None}
    assert entropy_coefficients(heads, {"arm": 0.1, "grip": 0.2}) == {
        ("arm", "action"): 0.1,
        "grip": 0.2,
    }
    with pytest.raises(ValueError, match="Did you mean `grip`"):
        entropy_coefficients({"gripp": None}, {"grip": 0.2})
