import pytest
import torch
from torch import nn

from rl.core.errors import RLError
from rl.core.modules import GRU, LSTM, GRUModule, LSTMModule
from rl.core.modules.recurrent.build import rebuild

KEYS = {"in_key": "x", "out_key": "y"}


def test_a_network_of_ones_own():
    net = nn.LSTM(3, 4, 2, batch_first=True)
    assert LSTMModule(lstm=net, **KEYS).lstm is net
    assert LSTMModule(3, 4, lstm=net, **KEYS).lstm is net
    module = GRUModule(gru=nn.GRU(3, 4), python_based=True, **KEYS)
    assert isinstance(module.gru, GRU)


def test_settings_reach_the_network():
    settings = {"num_layers": 2, "bias": False, "batch_first": False, "dropout": 0.5}
    for kind, name in ((LSTMModule, "lstm"), (GRUModule, "gru")):
        for python_based in (False, True):
            net = getattr(kind(3, 4, python_based=python_based, **settings, **KEYS), name)
            assert {key: getattr(net, key) for key in settings} == settings
            assert (net.input_size, net.hidden_size) == (3, 4)
    module = LSTMModule(3, 4, proj_size=2, device="meta", **KEYS)
    assert module.lstm.weight_hr_l0.shape == torch.Size([2, 4])
    assert module.lstm.weight_hr_l0.is_meta


def test_contradictions():
    with pytest.raises(RLError, match="`hidden_size` is missing: pass `input_size="):
        LSTMModule(3, **KEYS)
    with pytest.raises(RLError, match=r"expected an `nn\.GRU`"):
        GRUModule(gru=nn.LSTM(3, 4), **KEYS)
    with pytest.raises(RLError, match="leave the sizes out"):
        LSTMModule(5, 4, lstm=nn.LSTM(3, 4), **KEYS)


@pytest.mark.filterwarnings("ignore:LSTM with projections")
def test_rebuild():
    net = nn.LSTM(3, 4, 2, bidirectional=True, batch_first=True, proj_size=2).eval()
    ours = rebuild(net, LSTM)
    assert dict(ours.named_parameters()).keys() == dict(net.named_parameters()).keys()
    assert all(a is b for a, b in zip(ours.parameters(), net.parameters(), strict=True))
    assert not ours.training
    back = rebuild(ours, nn.LSTM)
    x = torch.randn(2, 5, 3)
    torch.testing.assert_close(ours(x)[0], back(x)[0])
    assert rebuild(back, nn.LSTM) is back
