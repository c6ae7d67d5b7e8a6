import pytest
import torch

from rl.core.errors import SpecError
from rl.core.specs import Categorical, OneHot
from rl.core.specs.masks import (
    common_mask,
    draw_masked,
    expand_mask,
    nearest_allowed,
    stack_masked,
)

CPU = torch.device("cpu")


def test_expand_mask_broadcasts_or_says_which_shape():
    assert expand_mask(torch.tensor([1, 0]), (3, 2), CPU).tolist() == [[True, False]] * 3
    with pytest.raises(SpecError, match="one flag per value"):
        expand_mask(torch.ones(3, dtype=torch.bool), (2, 2), CPU)


def test_draw_masked_draws_each_row_from_its_own_mask():
    weights = torch.tensor([[1.0, 0, 0], [0, 0, 1.0]])
    assert draw_masked(weights, torch.Size([5, 2])).tolist() == [[0, 2]] * 5
    assert draw_masked(weights, torch.Size([0, 2])).shape == (0, 2)


def test_draw_masked_needs_something_allowed():
    with pytest.raises(SpecError, match="allow at least one"):
        draw_masked(torch.zeros(1, 3), torch.Size([1]))


def test_nearest_allowed_takes_the_lower_of_two():
    mask = torch.tensor([True, False, True, False])
    assert nearest_allowed(torch.tensor([0, 1, 2, 3]), mask).tolist() == [0, 0, 2, 2]
    with pytest.raises(SpecError, match="allow one"):
        nearest_allowed(torch.tensor(0), torch.zeros(3, dtype=torch.bool))


def test_common_mask_is_the_one_all_share():
    mask = torch.tensor([[True, False], [True, False]])
    assert common_mask(mask).tolist() == [True, False]
    with pytest.raises(SpecError, match=r"index the spec first"):
        common_mask(torch.eye(2, dtype=torch.bool))


def test_stack_masked_allows_all_where_there_is_no_mask():
    specs = [Categorical(2), Categorical(2, mask=torch.tensor([True, False]))]
    assert stack_masked(specs, 0).mask.tolist() == [[True, True], [True, False]]
    assert stack_masked([OneHot(2), OneHot(3)], 0) is None
