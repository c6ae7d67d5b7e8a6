import pytest
import torch
from torch import nn

from rl.core.errors import RLError, ShapeError
from rl.core.modules import GRU, LSTM

PAIRS = [(LSTM, nn.LSTM), (GRU, nn.GRU)]
SETTINGS = [
    {},
    {"num_layers": 3},
    {"bias": False},
    {"batch_first": False},
    {"bidirectional": True, "num_layers": 2},
    {"dtype": torch.float64},
]


def twins(ours, framework, **settings):
    net = ours(3, 4, **settings)
    settings = {"batch_first": True, **settings}
    twin = framework(3, 4, **settings)
    twin.load_state_dict(net.state_dict())
    return net, twin


def states(net, batch, size=4):
    layers = net.num_layers * (2 if net.bidirectional else 1)
    dtype = net.weight_ih_l0.dtype
    h = torch.randn(layers, *batch, net.proj_size or size, dtype=dtype)
    return (h, torch.randn(layers, *batch, size, dtype=dtype)) if net.mode == "LSTM" else h


@pytest.mark.parametrize(("ours", "framework"), PAIRS)
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("batch", [(), (5,)])
def test_equals_the_framework(ours, framework, settings, batch):
    net, twin = twins(ours, framework, **settings)
    x = torch.randn(*batch, 6, 3, dtype=settings.get("dtype"))
    if batch and not net.batch_first:
        x = x.transpose(0, 1)
    for given in (None, states(net, batch)):
        torch.testing.assert_close(net(x, given), twin(x, given), atol=1e-6, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:LSTM with projections")
def test_projection():
    net, twin = twins(LSTM, nn.LSTM, proj_size=2, num_layers=2)
    x, given = torch.randn(5, 6, 3), None
    torch.testing.assert_close(net(x, given), twin(x, given))
    given = states(net, (5,))
    torch.testing.assert_close(net(x, given), twin(x, given))


@pytest.mark.parametrize(("ours", "framework"), PAIRS)
def test_gradients_equal_the_framework(ours, framework):
    net, twin = twins(ours, framework, num_layers=2)
    x = torch.randn(5, 6, 3)
    for one in (net, twin):
        one(x)[0].square().sum().backward()
    for name, parameter in net.named_parameters():
        torch.testing.assert_close(
            parameter.grad, twin.get_parameter(name).grad, atol=1e-5, rtol=1e-4
        )


@pytest.mark.parametrize("ours", [LSTM, GRU])
def test_dropout_between_layers(ours):
    net = ours(3, 4, 2, dropout=1.0)
    x = torch.randn(5, 6, 3)
    # the second layer sees zeros, whatever the input is
    torch.testing.assert_close(net(x)[0], net(torch.randn(5, 6, 3))[0])
    net.eval()
    assert not torch.equal(net(x)[0], net(torch.randn(5, 6, 3))[0])


@pytest.mark.parametrize("ours", [LSTM, GRU])
def test_vmap_over_stacked_weights(ours):
    nets = [ours(3, 4) for _ in range(2)]
    params = {k: torch.stack([n.state_dict()[k] for n in nets]) for k in nets[0].state_dict()}
    x = torch.randn(5, 6, 3)
    out = torch.vmap(lambda p: torch.func.functional_call(nets[0], p, (x,))[0])(params)
    torch.testing.assert_close(out, torch.stack([net(x)[0] for net in nets]))


@pytest.mark.parametrize("ours", [LSTM, GRU])
@pytest.mark.parametrize("shape", [(5, 6, 2), (6,), (1, 5, 6, 3)])
def test_wrong_shape(ours, shape):
    with pytest.raises(ShapeError, match="flatten other batch dimensions"):
        ours(3, 4)(torch.zeros(shape))


@pytest.mark.parametrize("ours", [LSTM, GRU])
def test_scan_is_refused(ours):
    with pytest.raises(RLError, match="the loop gives the same numbers"):
        ours(3, 4, use_scan=True)


@pytest.mark.parametrize(("ours", "framework"), PAIRS)
def test_compiles_in_one_graph(ours, framework):
    net, twin = twins(ours, framework, num_layers=2)
    x = torch.randn(5, 3, 3)
    compiled = torch.compile(net, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x), twin(x))
