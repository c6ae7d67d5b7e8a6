"""Target updaters."""

import pytest
import torch
from tensordict.nn import TensorDictModule
from torch import nn

from rl.core.errors import RLError
from rl.objectives import DQNLoss, HardUpdate, SoftUpdate


@pytest.fixture
def loss():
    net = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 2))
    return DQNLoss(TensorDictModule(net, ["observation"], ["action_value"]), action_space="one_hot")


def leaves(loss):
    source = dict(loss.value_network_params.items(True, True))
    target = dict(loss.target_value_network_params.items(True, True))
    return [(key, source[key], target[key]) for key in source]


def move(loss):
    with torch.no_grad():
        for _, source, _ in leaves(loss):
            source.add_(1)


@pytest.mark.parametrize("options", [{"tau": 0.25}, {"eps": 0.75}])
def test_soft_update(loss, options):
    updater = SoftUpdate(loss, **options)
    assert (updater.tau, updater.eps) == (0.25, 0.75)
    move(loss)
    updater.step()
    for key, source, target in leaves(loss):
        expected = 0.75 if source.is_floating_point() else 0
        torch.testing.assert_close(
            (source - target).float(), torch.full(source.shape, float(expected)), msg=str(key)
        )
    updater.init_()
    for _, source, target in leaves(loss):
        torch.testing.assert_close(target, source.detach())


def test_soft_update_default(loss):
    assert SoftUpdate(loss).eps == pytest.approx(0.995)


def test_hard_update(loss):
    updater = HardUpdate(loss, value_network_update_interval=3)
    move(loss)
    for _ in range(2):
        updater.step()
        for _, source, target in leaves(loss):
            torch.testing.assert_close(source - target, torch.ones_like(source))
    updater.step()
    for _, source, target in leaves(loss):
        torch.testing.assert_close(target, source.detach())


def test_hard_update_resumes(loss):
    one = HardUpdate(loss, value_network_update_interval=3)
    one.step()
    two = HardUpdate(loss, value_network_update_interval=3)
    two.load_state_dict(one.state_dict())
    move(loss)
    two.step()
    two.step()
    for _, source, target in leaves(loss):
        torch.testing.assert_close(target, source.detach())


def test_it_still_works_after_a_conversion(loss):
    updater = SoftUpdate(loss, tau=1.0)
    loss.double()
    move(loss)
    updater.step()
    for _, source, target in leaves(loss):
        torch.testing.assert_close(target, source.detach())


def test_updater_saves_no_parameter(loss):
    assert list(SoftUpdate(loss).state_dict()) == []
    assert list(SoftUpdate(loss).parameters()) == []


def test_loss_without_targets():
    loss = DQNLoss(nn.Linear(3, 2), action_space="one_hot", delay_value=False)
    with pytest.raises(RLError, match="build it with `delay_value=True`"):
        SoftUpdate(loss)


@pytest.mark.parametrize(
    ("options", "fix"),
    [
        ({"tau": 0.1, "eps": 0.9}, "not both"),
        ({"tau": 1.5}, "`tau` is 1.5, expected a number from 0 to 1"),
        ({"eps": -0.5}, "`eps` is -0.5"),
    ],
)
def test_soft_update_arguments(loss, options, fix):
    with pytest.raises(ValueError, match=fix):
        SoftUpdate(loss, **options)


def test_hard_update_interval(loss):
    with pytest.raises(ValueError, match="expected a positive number of steps"):
        HardUpdate(loss, value_network_update_interval=0)
