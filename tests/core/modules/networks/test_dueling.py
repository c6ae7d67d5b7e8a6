import torch
from torch import nn

from rl.core.modules import (
    DuelingCnnDQNet,
    DuelingMlpDQNet,
)


class TestDueling:
    def test_advantages_have_no_mean(self):
        net = DuelingMlpDQNet(out_features=4)
        x = torch.randn(6, 3)
        values = net(x)
        assert values.shape == (6, 4)
        state = net.value(net.features(x))
        torch.testing.assert_close(values.mean(-1, keepdim=True), state)

    def test_arguments(self):
        net = DuelingMlpDQNet(
            out_features=4,
            mlp_kwargs_feature={"num_cells": [5, 6], "in_features": 3},
            mlp_kwargs_output={"num_cells": 7},
        )
        assert [m.out_features for m in net.features if isinstance(m, nn.Linear)] == [5, 6, 256]
        assert net.advantage[0].out_features == 7

    def test_images(self):
        net = DuelingCnnDQNet(out_features=4)
        assert net(torch.zeros(2, 4, 84, 84)).shape == (2, 4)
        assert net.advantage[0].in_features == 3136
