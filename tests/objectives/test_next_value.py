"""The one-step target."""

import pytest
import torch
from tensordict import TensorDict
from tensordict.nn import TensorDictModule

from rl.objectives import next_state_value


@pytest.fixture
def batch():
    step = {"x": torch.tensor([[2.0], [4.0]]), "reward": torch.ones(2, 1)}
    step["done"] = torch.tensor([[True], [True]])
    step["terminated"] = torch.tensor([[False], [True]])
    return TensorDict({"next": step}, [2])


@pytest.mark.parametrize("shape", [(2,), (2, 1)])
def test_given_values(batch, shape):
    result = next_state_value(batch, gamma=0.5, pred_next_val=torch.full(shape, 4.0))
    assert result.tolist() == [3.0, 1.0]


def test_operator(batch):
    operator = TensorDictModule(lambda x: 2 * x, ["x"], ["v"])
    assert next_state_value(batch, operator, "v", gamma=0.5).tolist() == [3.0, 1.0]
    assert "v" not in batch["next"]


def test_n_steps(batch):
    batch["steps_to_next_obs"] = torch.full((2, 1), 2)
    result = next_state_value(batch, gamma=0.5, pred_next_val=torch.full((2,), 4.0))
    assert result.tolist() == [2.0, 1.0]


def test_nothing_given(batch):
    with pytest.raises(ValueError, match="`operator=` or `pred_next_val=`"):
        next_state_value(batch)
