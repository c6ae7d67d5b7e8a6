import pytest
import torch
from tensordict import TensorDict
from tensordict.nn import TensorDictModule
from torch import nn

from rl.core.modules import VmapModule


class TestVmapModule:
    @pytest.mark.parametrize("dim", [0, 1, None])
    def test_equals_the_module(self, dim):
        net = TensorDictModule(nn.Linear(3, 4), ["x"], ["y"])
        td = TensorDict(x=torch.randn(5, 2, 3), batch_size=[5, 2])
        expected = VmapModule(net, dim, mock=True)(td.clone())["y"]
        torch.testing.assert_close(VmapModule(net, dim)(td.clone())["y"], expected)
