import pytest
import torch

from rl.core.checkpoint import Checkpoint, CheckpointOptions, save_state
from rl.core.checkpoint.snapshot import snapshot_of_state
from rl.core.errors import CheckpointError


def test_it_is_a_copy():
    layer = torch.nn.Linear(2, 1)
    optim = torch.optim.SGD(layer.parameters(), 0.5, momentum=0.9)
    before = [p.detach().clone() for p in layer.parameters()]
    undo = [snapshot_of_state(layer), snapshot_of_state(optim)]
    layer(torch.ones(1, 2)).sum().backward()
    optim.step()
    optim.param_groups[0]["lr"] = 3.0
    for bring_back in undo:
        bring_back()
    assert all(map(torch.equal, layer.parameters(), before))
    assert optim.param_groups[0]["lr"] == 0.5
    assert not optim.state


def test_a_layer_without_a_size_is_one_again():
    net = torch.nn.Sequential(torch.nn.LazyLinear(2), torch.nn.Linear(2, 1))
    kept = net[1].weight.detach().clone()
    other = torch.nn.Sequential(torch.nn.Linear(5, 2), torch.nn.Linear(2, 1))
    bring_back = snapshot_of_state(net)
    net.load_state_dict(other.state_dict())
    assert not net[0].has_uninitialized_params()
    bring_back()
    assert net[0].has_uninitialized_params()
    assert torch.equal(net[1].weight, kept)
    assert net(torch.zeros(1, 3)).shape == (1, 1)


def test_a_fresh_lazy_layer_takes_a_saved_state(tmp_path):
    first, second = torch.nn.LazyLinear(2), torch.nn.LazyLinear(2)
    x = torch.randn(4, 3)
    expected = first(x)
    Checkpoint(layer=first).save(tmp_path)
    Checkpoint(layer=second).load(tmp_path)
    assert torch.equal(second(x), expected)


def test_a_layer_without_a_size_is_not_saved(tmp_path):
    with pytest.raises(CheckpointError, match=r"`weight` has no values yet.*Call the module once"):
        save_state(tmp_path, torch.nn.LazyLinear(2).state_dict())


def test_options_are_arguments():
    class Part:
        def state_dict(self, which):
            return {which: 1}

        def load_state_dict(self, state, strict):
            self.given = state, strict

    part = Part()
    snapshot_of_state(part, CheckpointOptions(save_args=("a",), load_kwargs={"strict": False}))()
    assert part.given == ({"a": 1}, False)
