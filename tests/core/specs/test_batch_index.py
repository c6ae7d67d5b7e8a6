import torch

from rl.core.specs.batch_index import dims_used, indexed_names, without_ellipsis


def test_ellipsis_is_written_out_over_the_batch():
    assert without_ellipsis((0, ...), 3) == (0, slice(None), slice(None))
    assert without_ellipsis((..., None, 1), 2) == (slice(None), None, 1)
    assert without_ellipsis(2, 2) == (2,)


def test_dims_used_counts_what_an_item_takes():
    assert dims_used(None) == 0
    assert dims_used(3) == 1
    assert dims_used(torch.ones(2, 2, dtype=torch.bool)) == 2


def test_names_follow_numbers_slices_and_none():
    assert indexed_names(["a", "b"], (0,)) == ["b"]
    assert indexed_names(["a", "b"], (slice(1), None)) == ["a", None, "b"]
    assert indexed_names(["a"], (torch.tensor([0]),)) is None
