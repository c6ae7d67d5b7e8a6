import torch

from rl.data.transforms.n_step import n_step_return, steps_ahead, take_ahead

ENDS = torch.tensor([False, False, True, False, False, True])


def test_by_hand():
    assert steps_ahead(ENDS, 3, 0).tolist() == [3, 2, 1, 3, 2, 1]
    reward = torch.tensor([1.0, 2, 4, 8, 16, 32]).unsqueeze(-1)
    steps = steps_ahead(ENDS, 2, 0)
    # 1 + 2 / 2, 2 + 4 / 2, 4, 8 + 16 / 2, 16 + 32 / 2, 32
    assert n_step_return(reward, steps, 0.5, 0).flatten().tolist() == [2, 4, 4, 16, 32, 32]
    assert take_ahead(torch.arange(6), steps, 0).tolist() == [1, 2, 2, 4, 5, 5]


def test_dimensions():
    """Time first, or in the middle, and any shape of a reward."""
    reward = torch.randn(2, 6, 3, 4)
    ends = ENDS.expand(2, 6)
    steps = steps_ahead(ends, 3, 1)
    result = n_step_return(reward, steps, 0.9, 1)
    one = n_step_return(reward[1, :, 2, 3], steps[1], 0.9, 0)
    torch.testing.assert_close(result[1, :, 2, 3], one)
    first = n_step_return(reward.transpose(0, 1), steps_ahead(ends.T, 3, 0), 0.9, 0)
    torch.testing.assert_close(first.transpose(0, 1), result)
    ahead = take_ahead(reward, steps, 1)
    torch.testing.assert_close(ahead[:, 0], reward[:, 2])


def test_what_follows_a_cut_does_not_matter():
    reward = torch.tensor([[1.0], [2.0], [torch.nan]])
    steps = torch.tensor([2, 1, 1])
    assert n_step_return(reward, steps, 0.5, 0).flatten()[:2].tolist() == [2, 2]


def test_nothing():
    empty = torch.zeros(0, 1)
    steps = steps_ahead(torch.zeros(0, dtype=torch.bool), 3, 0)
    assert n_step_return(empty, steps, 0.5, 0).shape == (0, 1)
