import pytest
import torch

from rl.core.errors import ShapeError
from rl.core.modules import MultiAgentConvNet

CASES = [(c, s) for c in (False, True) for s in (False, True)]


def build(centralized, share_params, channels=2, **kwargs):
    kwargs = {"num_cells": [4, 5], "kernel_sizes": 3, **kwargs}
    return MultiAgentConvNet(3, centralized, share_params, in_features=channels, **kwargs)


@pytest.mark.parametrize("channels", [2, None])
@pytest.mark.parametrize(("centralized", "share_params"), CASES)
@pytest.mark.parametrize("batch", [(), (5,), (5, 2)])
def test_is_a_network_per_agent(centralized, share_params, batch, channels):
    net, x = build(centralized, share_params, channels), torch.randn(*batch, 3, 2, 12, 12)
    out = net(x)
    # (12 - 3) // 2 + 1 = 5, (5 - 3) // 2 + 1 = 2: 5 * 2 * 2 features
    assert out.shape == (*batch, 3, 20)
    nets = net.get_stateful_net()
    nets = [nets] * 3 if share_params else nets
    seen = [x.flatten(-4, -3) if centralized else x[..., agent, :, :, :] for agent in range(3)]
    want = torch.stack([m(part) for m, part in zip(nets, seen, strict=True)], -2)
    torch.testing.assert_close(out, want)


def test_defaults():
    net = MultiAgentConvNet(3, centralized=False, share_params=False)
    # 50 -> 23 -> 10 -> 3 pixels a side, 32 channels
    assert net(torch.zeros(3, 2, 50, 50)).shape == (3, 288)


def test_agents_first():
    net, x = build(True, False, agent_dim=-5), torch.randn(3, 5, 2, 12, 12)
    out = net(x)
    assert out.shape == (3, 5, 20)
    net.agent_dim = -4
    torch.testing.assert_close(net(x.transpose(0, 1)).transpose(0, 1), out)


def test_bad_input():
    with pytest.raises(ShapeError, match="set `in_features=4`"):
        build(False, False)(torch.zeros(3, 4, 12, 12))
    with pytest.raises(ShapeError, match="expected 3 agents at dimension -4"):
        build(False, False)(torch.zeros(2, 12, 12))
