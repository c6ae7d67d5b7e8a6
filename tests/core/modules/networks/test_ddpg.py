import torch

from rl.core.modules import (
    DdpgMlpActor,
    DdpgMlpQNet,
)


class TestDdpg:
    def test_actor(self):
        net = DdpgMlpActor(action_dim=2)
        assert net(torch.randn(5, 3)).shape == (5, 2)
        assert net.mlp[-1].weight.abs().max() <= 3e-3

    def test_critic(self):
        net = DdpgMlpQNet()
        assert net(torch.zeros(5, 3), torch.zeros(5, 2)).shape == (5, 1)
        assert net.mlp2[0].in_features == 402
        small = DdpgMlpQNet({"out_features": 8}, {"num_cells": [9]})
        assert small(torch.zeros(5, 3), torch.zeros(5, 2)).shape == (5, 1)
        assert small.mlp2[0].in_features == 10
