import numpy as np
import pytest
import torch

from rl.core.errors import ShapeError, SpecError
from rl.core.specs.shapes import as_shape, flat_args, index_on, view_shape


def test_as_shape_reads_ints_sequences_and_none():
    assert as_shape(3) == torch.Size([3])
    assert as_shape([2, 3]) == torch.Size([2, 3])
    assert as_shape(None, (4,)) == torch.Size([4])


def test_flat_args_reads_both_spellings():
    assert flat_args((1, 2)) == flat_args(((1, 2),)) == flat_args((torch.Size([1, 2]),)) == (1, 2)
    assert flat_args((5,)) == (5,)


def test_view_shape_carries_unknown_sizes():
    assert view_shape(torch.Size([-1, 2]), lambda t: t.unsqueeze(0)) == (1, -1, 2)
    assert view_shape(torch.Size([-1, 2]), lambda t: t.expand(3, -1, 2)) == (3, -1, 2)
    assert view_shape(torch.Size([4, -1]), lambda t: t[0]) == (-1,)


def test_view_shape_refuses_to_merge_unknown_sizes():
    with pytest.raises(SpecError, match="keep the -1 dimensions"):
        view_shape(torch.Size([-1, 2]), lambda t: t.flatten())


def test_view_shape_says_what_torch_says():
    with pytest.raises(ShapeError, match=r"\[3\] has no such view: .*expanded size"):
        view_shape(torch.Size([3]), lambda t: t.expand(4))


@pytest.mark.parametrize("index", [[0, 2], np.array([0, 2]), torch.tensor([0, 2]), range(0, 3, 2)])
def test_index_on_makes_tensors_of_lists(index):
    assert torch.arange(3)[index_on(index, torch.device("cpu"))].tolist() == [0, 2]


def test_index_on_turns_masks_into_positions_within_tuples():
    mask = torch.tensor([[True, False], [False, True]])
    index = index_on((mask, 0), torch.device("cpu"))
    assert torch.arange(8).reshape(2, 2, 2)[index].tolist() == [0, 6]
    assert index_on((slice(None), None, 1), torch.device("cpu")) == (slice(None), None, 1)
