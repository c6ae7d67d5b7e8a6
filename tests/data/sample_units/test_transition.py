import torch

from rl.data import Transition


def test_transition_changes_nothing():
    index, info = torch.tensor([1, 2]), {"a": 1}
    assert Transition().expand(index, info, None) == (index, info)
