import pytest
import torch
from torch import nn

from rl.core.weights import Weights, WeightsError, apply_weights, versioned_weights


@pytest.fixture
def source():
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


def test_parameters_and_buffers_arrive(source):
    source(torch.randn(8, 3))
    target = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    parameters = list(target.parameters())
    assert apply_weights(target, versioned_weights(source, version=4), current=3) == 4
    for (name, one), two in zip(
        source.state_dict().items(), target.state_dict().values(), strict=True
    ):
        assert torch.equal(one, two), name
    assert all(a is b for a, b in zip(parameters, target.parameters(), strict=True)), "in place"


def test_weights_do_not_follow_training(source):
    weights = versioned_weights(source, version=1)
    with torch.no_grad():
        source[0].weight += 1
    assert apply_weights(source, weights) == 1


def test_without_a_copy_later_training_is_found(source):
    weights = versioned_weights(source, version=1, copy=False)
    with torch.no_grad():
        source[0].weight += 1
    with pytest.raises(WeightsError, match="copy them if training goes on"):
        apply_weights(source, weights)


def test_stale_weights_raise(source):
    with pytest.raises(WeightsError, match="stale: version 1, the module has 2"):
        apply_weights(source, versioned_weights(source, version=1), current=2)


def test_partial_weights_raise_and_change_nothing(source):
    weights = versioned_weights(source, version=1)
    partial = Weights(1, weights.checksum, weights.tensordict.exclude("1.weight"))
    before = source[0].weight.clone()
    with pytest.raises(WeightsError, match=r"`1.weight` missing"):
        apply_weights(source, partial)
    assert torch.equal(source[0].weight, before)


def test_unknown_names_raise(source):
    weights = versioned_weights(nn.Sequential(*source, nn.Linear(2, 1)), version=1)
    with pytest.raises(WeightsError, match=r"which the module lacks"):
        apply_weights(source, weights)


def test_other_shapes_raise(source):
    weights = versioned_weights(nn.Sequential(nn.Linear(4, 2), nn.BatchNorm1d(2)), version=1)
    with pytest.raises(WeightsError, match=r"`0.weight` has shape \[2, 4\], expected \[2, 3\]"):
        apply_weights(source, weights)


def test_one_flipped_bit_raises(source):
    weights = versioned_weights(source, version=1)
    weights.tensordict["0.weight"].view(torch.uint8)[0, 0] ^= 1
    with pytest.raises(WeightsError, match="damaged: checksum"):
        apply_weights(source, weights)
