import pytest
import torch
from torch import nn

from rl.core.modules import DdpgCnnActor, DdpgCnnQNet


@pytest.mark.parametrize("batch", [(), (3,), (3, 2)])
@pytest.mark.parametrize("pooled", [True, False])
def test_shapes(batch, pooled):
    pixels, action = torch.zeros(*batch, 3, 64, 64), torch.zeros(*batch, 2)
    out, hidden = DdpgCnnActor(2, use_avg_pooling=pooled)(pixels)
    # 64 -> 15 -> 6 -> 6 pixels a side
    assert (out.shape, hidden.shape) == ((*batch, 2), (*batch, 64 * (1 if pooled else 36)))
    assert DdpgCnnQNet(use_avg_pooling=pooled)(pixels, action).shape == (*batch, 1)


def test_first_actions_and_values_are_small():
    """The last layer starts within 3e-3 (Lillicrap et al. 2016, section 7)."""
    actor, critic = DdpgCnnActor(2), DdpgCnnQNet()
    actor(torch.zeros(3, 64, 64))
    for layer in (actor.mlp[-1], critic.mlp[-1]):
        assert layer.weight.abs().max() <= 3e-3


def test_value_depends_on_the_action():
    critic, pixels = DdpgCnnQNet(), torch.rand(2, 3, 64, 64)
    first = critic(pixels, torch.zeros(2, 2))
    assert not torch.equal(critic(pixels, torch.ones(2, 2)), first)


def test_arguments_reach_the_parts():
    actor = DdpgCnnActor(
        2,
        {"num_cells": [4], "kernel_sizes": [3], "strides": [1], "paddings": [0]},
        {"depth": 1, "num_cells": [8], "activation_class": nn.ReLU},
    )
    assert actor(torch.zeros(1, 5, 5))[1].shape == (36,)
    assert [type(layer).__name__ for layer in actor.mlp] == ["Linear", "ReLU", "Linear"]
