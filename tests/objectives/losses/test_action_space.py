"""Discrete action spaces."""

import pytest
import torch
from tensordict.nn import TensorDictModule
from torch import nn

from rl.core.errors import RLError, ShapeError
from rl.core.specs import Categorical, Composite, MultiOneHot, OneHot
from rl.objectives.losses.action_space import (
    check_action,
    chosen_value,
    loss_action_space,
    variable_sizes,
)

NET = TensorDictModule(nn.Linear(3, 4), ["observation"], ["action_value"])


@pytest.mark.parametrize(
    ("space", "name"),
    [
        ("one-hot", "one_hot"),
        ("categorical", "categorical"),
        (OneHot(4), "one_hot"),
        (Categorical(4), "categorical"),
        (MultiOneHot([2, 2]), "mult_one_hot"),
        (Composite(action=OneHot(4), other=Categorical(2)), "one_hot"),
    ],
)
def test_names(space, name):
    assert loss_action_space(space, NET, "action") == name


def test_read_off_the_network(qactor):
    assert loss_action_space(None, qactor, "action") == "one_hot"


def test_unknown():
    with pytest.raises(RLError, match="pass the env's action spec"):
        loss_action_space(None, NET, "action")


def test_variable_sizes(qactor):
    assert variable_sizes(MultiOneHot([2, 3]), NET) == [2, 3]
    assert variable_sizes(None, NET) is None


def test_integer_column_in_a_one_hot_space():
    action, values = torch.zeros(5, 1, dtype=torch.int64), torch.zeros(5, 4)
    with pytest.raises(ShapeError, match='pass `action_space="categorical"`'):
        check_action(action, values, "one_hot", "action")


def test_one_hot_in_a_categorical_space():
    action, values = torch.zeros(5, 4, dtype=torch.int64), torch.zeros(5, 4)
    with pytest.raises(ShapeError, match='pass `action_space="one_hot"`'):
        check_action(action, values, "categorical", "action")


@pytest.mark.parametrize("shape", [(5,), (5, 1)])
def test_indices_with_and_without_trailing_dimension(shape):
    values = torch.arange(20.0).view(5, 4)
    action = torch.full(shape, 2)
    check_action(action, values, "categorical", "action")
    expected = torch.tensor([2.0, 6.0, 10.0, 14.0, 18.0])
    torch.testing.assert_close(chosen_value(values, action, "categorical"), expected)


def test_several_variables():
    values = torch.tensor([[1.0, 2.0, 10.0, 20.0, 30.0]])
    one_hot = torch.tensor([[0, 1, 1, 0, 0]])
    assert chosen_value(values, one_hot, "mult_one_hot").tolist() == [12.0]
    indices = torch.tensor([[1, 0]])
    assert chosen_value(values, indices, "multi_categorical", [2, 3]).tolist() == [12.0]
