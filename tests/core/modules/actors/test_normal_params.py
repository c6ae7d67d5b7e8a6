import torch
from torch import nn

from rl.core.modules import NormalParamWrapper


def test_normal_params():
    loc, scale = NormalParamWrapper(nn.Linear(3, 4), scale_lb=0.5)(torch.randn(5, 3) * 100)
    assert loc.shape == (5, 2)
    assert scale.min() >= 0.5
