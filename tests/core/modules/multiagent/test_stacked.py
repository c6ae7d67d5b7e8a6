import copy

import pytest
import torch
from torch import nn

from rl.core.errors import RLError, ShapeError
from rl.core.modules import BatchRenorm1d
from rl.core.modules.multiagent.stacked import StackedNetworks, reset_layers


def networks(count=3):
    return [
        nn.Sequential(nn.Linear(4, 5), nn.LayerNorm(5), nn.Tanh(), nn.Linear(5, 2))
        for _ in range(count)
    ]


def lazy(count=3):
    return [nn.Sequential(nn.LazyLinear(5), nn.Tanh(), nn.Linear(5, 2)) for _ in range(count)]


def loop(nets, x):
    return torch.stack([net(part) for net, part in zip(nets, x.unbind(1), strict=True)], 1)


def test_is_the_loop_over_networks():
    nets, x = networks(), torch.randn(6, 3, 4)
    torch.testing.assert_close(StackedNetworks(nets)(x, 1, 1), loop(nets, x))
    whole = torch.stack([net(x[:, 0]) for net in nets], 1)
    torch.testing.assert_close(StackedNetworks(nets)(x[:, 0], None, 1), whole)


def test_gradients_are_those_of_the_networks():
    nets, x = networks(), torch.randn(6, 3, 4)
    stack = StackedNetworks(nets)
    stack(x, 1, 1).square().sum().backward()
    loop(nets, x).square().sum().backward()
    for name, parameter in stack.named_parameters():
        want = torch.stack([net.get_parameter(name).grad for net in nets])
        torch.testing.assert_close(parameter.grad, want)


def test_the_call_does_not_loop():
    """The number of operations is the same for 2 and for 20 networks."""

    def operations(count):
        stack, x = StackedNetworks(networks(count)), torch.randn(6, count, 4)
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as trace:
            stack(x, 1, 1)
        return sum(event.count for event in trace.key_averages())

    assert operations(2) == operations(20)


def test_buffers_belong_to_each_network():
    nets, x = [BatchRenorm1d(4, momentum=0.5) for _ in range(3)], torch.randn(6, 3, 4)
    stack = StackedNetworks(nets)
    torch.testing.assert_close(stack(x, 1, 1), loop(nets, x))
    torch.testing.assert_close(stack.running_mean, torch.stack([net.running_mean for net in nets]))
    stack.eval()
    torch.testing.assert_close(stack(x, 1, 1), loop([net.eval() for net in nets], x))


def test_randomness():
    nets = [nn.Dropout(0.5) for _ in range(3)]
    for net in nets:
        net.register_parameter("unused", nn.Parameter(torch.zeros(1)))
    x = torch.ones(64, 3, 8)
    different = StackedNetworks(nets)(x, 1, 1)
    assert not torch.equal(different[:, 0], different[:, 1])
    same = StackedNetworks(nets, "same")(x, 1, 1)
    assert torch.equal(same[:, 0], same[:, 1])
    assert torch.equal(StackedNetworks(nets).eval()(x, 1, 1), x)


def test_lazy_sizes_come_with_the_first_call():
    nets, x = lazy(), torch.randn(6, 3, 4)
    stack = StackedNetworks(nets)
    before = list(stack.parameters())
    out = stack(x, 1, 1)
    assert out.shape == (6, 3, 2)
    assert [id(p) for p in stack.parameters()] == [id(p) for p in before], "optimizers keep them"
    assert stack.get_parameter("0.weight").shape == (3, 5, 4)
    assert torch.equal(stack.get_parameter("0.weight"), torch.stack([n[0].weight for n in nets]))
    torch.testing.assert_close(out, loop(stack.unstack(), x))


def test_lazy_networks_load():
    stack, x = StackedNetworks(lazy()), torch.randn(6, 3, 4)
    out = stack(x, 1, 1)
    other = StackedNetworks(lazy())
    other.load_state_dict(stack.state_dict())
    torch.testing.assert_close(other(x, 1, 1), out)


@pytest.mark.parametrize("action", [lambda s: s.state_dict(), lambda s: s.unstack()])
def test_lazy_networks_say_so(action):
    with pytest.raises(RLError, match="call it once on data"):
        action(StackedNetworks(lazy()))
    with pytest.raises(RLError, match="call it once on data"):
        StackedNetworks(lazy()).restack(lazy())


def test_unstack_and_restack():
    nets, x = networks(), torch.randn(6, 3, 4)
    stack = StackedNetworks(nets)
    alone = stack.unstack()
    torch.testing.assert_close(loop(alone, x), loop(nets, x))
    reset_layers(alone)
    assert not torch.allclose(stack(x, 1, 1), loop(alone, x)), "they are copies"
    stack.restack(alone)
    torch.testing.assert_close(stack(x, 1, 1), loop(alone, x))
    with pytest.raises(ShapeError, match="2 networks were given for 3 agents"):
        stack.restack(alone[:2])


def test_frozen_parameters_stay_frozen():
    nets = networks()
    for net in nets:
        net[0].weight.requires_grad_(False)
    stack = StackedNetworks(nets)
    assert not stack.get_parameter("0.weight").requires_grad
    assert not stack.unstack()[0][0].weight.requires_grad
    assert stack.get_parameter("0.bias").requires_grad


def test_copies_and_casts():
    stack, x = StackedNetworks(networks()), torch.randn(6, 3, 4)
    torch.testing.assert_close(copy.deepcopy(stack)(x, 1, 1), stack(x, 1, 1))
    out = copy.deepcopy(stack).double()(x.double(), 1, 1)
    torch.testing.assert_close(out.float(), stack(x, 1, 1))


@pytest.mark.parametrize("nets", [networks(), [nn.Linear(4, 2) for _ in range(3)]])
def test_compiles_in_one_graph(nets):
    stack, x = StackedNetworks(nets), torch.randn(6, 3, 4)
    compiled = torch.compile(stack, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x, 1, 1), stack(x, 1, 1))
