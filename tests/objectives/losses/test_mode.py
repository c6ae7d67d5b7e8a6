"""Parameters held out of a graph, and the sampling mode of losses."""

import torch
from tensordict.nn import InteractionType, interaction_type
from torch import nn

from rl.objectives.losses.mode import hold_out_net, hold_out_params, loss_method


def test_hold_out_net():
    net = nn.Linear(2, 1)
    x = torch.ones(1, 2, requires_grad=True)
    with hold_out_net(net):
        net(x).sum().backward()
    assert net.weight.grad is None
    torch.testing.assert_close(x.grad, net.weight.detach())
    assert net.weight.requires_grad


def test_hold_out_params_leaves_frozen_ones_frozen():
    frozen = nn.Parameter(torch.ones(1), requires_grad=False)
    free = nn.Parameter(torch.ones(1))
    with hold_out_params([frozen, free]) as held:
        assert len(held) == 1
        assert not free.requires_grad
    assert (free.requires_grad, frozen.requires_grad) == (True, False)


def test_loss_method_runs_in_the_mode_of_the_loss():
    class Loss:
        deterministic_sampling_mode = InteractionType.MEAN

        @loss_method
        def mode(self):
            return interaction_type()

    assert Loss().mode() is InteractionType.MEAN
    assert interaction_type() is not InteractionType.MEAN
