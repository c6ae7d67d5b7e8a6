import pytest
import torch

from rl.core.errors import RLError, ShapeError
from rl.core.modules import MCTSScore
from rl.core.modules.search.score import as_parent, check_positive, mean_reward


def test_mean_reward_of_integers_and_of_nothing():
    total, visits = torch.tensor([6, 0, 5]), torch.tensor([4, 0, 1])
    torch.testing.assert_close(mean_reward(total, visits), torch.tensor([1.5, 0.0, 5.0]))


def test_parent_broadcasts():
    visits = torch.ones(2, 3, 4)
    for shape in ((), (2, 3), (2, 3, 1)):
        assert (visits + as_parent("N", torch.ones(shape), visits)).shape == (2, 3, 4)
    with pytest.raises(ShapeError, match="for the 4 actions"):
        as_parent("N", torch.ones(4), visits)


def test_base():
    with pytest.raises(TypeError, match="forward"):
        MCTSScore()
    assert check_positive("c", 0) == 0
    with pytest.raises(RLError, match="scales the exploration"):
        check_positive("c", -0.5)
