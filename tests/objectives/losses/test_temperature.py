"""The learned temperature."""

import math

import pytest
import torch
from torch import nn

from rl.core.specs import Bounded, Composite
from rl.objectives.losses.temperature import (
    TemperatureSettings,
    TemperedLoss,
    continuous_target_entropy,
)

NET = nn.Linear(1, 1)


def make(**settings):
    loss = TemperedLoss()
    loss._set_temperature(TemperatureSettings(**settings))
    return loss


def test_alpha_is_exp_of_the_parameter():
    loss = make(alpha_init=0.3)
    assert loss.alpha.item() == pytest.approx(0.3)
    assert [n for n, _ in loss.named_parameters()] == ["log_alpha"]
    assert not loss.alpha.requires_grad


def test_bounds():
    assert make(alpha_init=5.0, max_alpha=2.0).alpha.item() == pytest.approx(2.0)
    assert make(alpha_init=0.1, min_alpha=0.5).alpha.item() == pytest.approx(0.5)
    with pytest.raises(ValueError, match="exchange them"):
        make(min_alpha=1.0, max_alpha=0.5)


def test_fixed():
    loss = make(alpha_init=0.3, fixed_alpha=True)
    assert not list(loss.parameters())
    assert loss._alpha_loss(torch.ones(4), None, None) == 0


def test_gradient_raises_alpha_while_entropy_is_low():
    loss = make(target_entropy=-1.0)
    # the entropy is -2, below its target: log_alpha must grow
    loss._alpha_loss(torch.full((4,), 2.0), None, None).backward()
    assert loss.log_alpha.grad == -1.0


def test_alpha_init_is_positive():
    with pytest.raises(ValueError, match="expected a positive number"):
        make(alpha_init=0.0)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (Bounded(-1, 1, (6,)), -6.0),
        (Composite(action=Bounded(-1, 1, (6,))), -6.0),
        (Composite(action=Bounded(-1, 1, (8, 6)), shape=(8,)), -6.0),
    ],
)
def test_auto_counts_the_components(spec, expected):
    assert continuous_target_entropy("auto", spec, NET, "action") == expected


def test_auto_without_spec():
    with pytest.raises(ValueError, match=r"pass `action_spec=env.action_spec` or a number"):
        continuous_target_entropy("auto", None, NET, "action")
    assert continuous_target_entropy("auto", None, NET, "action", is_needed=False) == 0.0
    assert continuous_target_entropy(math.pi, None, NET, "action") == math.pi
