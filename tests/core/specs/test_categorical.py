import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rl.core.errors import ShapeError, SpecError
from rl.core.specs import Categorical, OneHot

MASK = torch.tensor([True, False, True, False])


def test_defaults():
    spec = Categorical(4)
    assert (spec.n, spec.space.n, spec.shape, spec.dtype) == (4, 4, (), torch.int64)
    assert spec.domain == "discrete"


def test_draws_cover_the_values():
    torch.manual_seed(0)
    assert Categorical(3, (200,), dtype=torch.int32).rand().unique().tolist() == [0, 1, 2]
    assert Categorical(2, dtype=torch.bool).rand((100,)).unique().tolist() == [False, True]


def test_is_in_tests_range_dtype_and_mask():
    spec = Categorical(4)
    assert spec.is_in(torch.tensor(3))
    assert spec.is_in(torch.tensor([0, 3]))
    assert not spec.is_in(torch.tensor(4))
    assert not spec.is_in(torch.tensor(-1))
    assert not spec.is_in(torch.tensor(2.0))
    assert not spec.is_in(torch.tensor(2, dtype=torch.int32))
    assert not spec.is_in(2)
    masked = Categorical(4, mask=MASK)
    assert masked.is_in(torch.tensor([0, 2]))
    assert not masked.is_in(torch.tensor([0, 1]))


def test_project_rounds_clamps_and_leaves_masked_values():
    spec = Categorical(4)
    assert spec.project(torch.tensor([7, -7, 2])).tolist() == [3, 0, 2]
    assert spec.project(torch.tensor(2.3)).item() == 2
    assert spec.project(torch.tensor(2.3)).dtype == torch.int64
    assert Categorical(4, mask=MASK).project(torch.tensor([1, 3, 2])).tolist() == [0, 2, 2]


def test_mask_per_element():
    spec = Categorical(2, (2,), mask=torch.eye(2, dtype=torch.bool))
    assert spec.rand((20,)).unique(dim=0).tolist() == [[0, 1]]
    assert spec.is_in(torch.tensor([0, 1]))
    assert not spec.is_in(torch.tensor([1, 1]))
    assert spec[1].mask.tolist() == [False, True]
    assert spec.expand(3, 2).rand().tolist() == [[0, 1]] * 3


def test_update_mask_replaces_what_was_cached():
    spec = Categorical(2, mask=torch.tensor([True, False]))
    assert spec.rand().item() == 0
    spec.update_mask(torch.tensor([False, True]))
    assert spec.rand().item() == 1
    spec.update_mask(None)
    assert spec.rand((100,)).unique().tolist() == [0, 1]


def test_masks_that_do_not_fit_or_forbid_everything():
    with pytest.raises(SpecError, match="one flag per value"):
        Categorical(4, mask=torch.ones(2, 4, dtype=torch.bool))
    with pytest.raises(SpecError, match="allow at least one"):
        Categorical(2, mask=torch.zeros(2, dtype=torch.bool)).rand()


def test_unknown_number_of_values():
    spec = Categorical(-1)
    with pytest.raises(SpecError, match=r"set_provisional_n"):
        spec.rand()
    with pytest.raises(SpecError, match=r"set_provisional_n"):
        spec.cardinality()
    assert spec.is_in(torch.tensor(12))
    assert spec.project(torch.tensor(-3)).item() == 0
    spec.set_provisional_n(3)
    assert spec.cardinality() == 3
    assert spec.rand((100,)).max().item() == 2
    assert spec.n == -1
    spec.set_provisional_n(None)
    with pytest.raises(SpecError, match=r"set_provisional_n"):
        spec.rand()


@pytest.mark.parametrize("n", [0, -2])
def test_n_must_be_positive_or_unknown(n):
    with pytest.raises(SpecError, match="give n >= 1, or -1"):
        Categorical(n)


def test_cardinality_and_enumeration():
    spec = Categorical(2, (3,))
    assert spec.cardinality() == 2
    assert spec.enumerate().tolist() == [[0, 0, 0], [1, 1, 1]]
    assert Categorical(4, mask=MASK).enumerate(use_mask=True).tolist() == [0, 2]
    assert Categorical(4, mask=MASK).enumerate().tolist() == [0, 1, 2, 3]


def test_encode_and_to_numpy():
    spec = Categorical(4)
    assert spec.encode(2).tolist() == 2
    assert spec.encode(np.int32(2)).dtype == torch.int64
    assert type(spec.to_numpy(torch.tensor(2))) is int
    assert spec.to_numpy(torch.tensor([2, 1])).tolist() == [2, 1]
    with pytest.raises(SpecError, match=r"project\(value\)"):
        spec.to_numpy(torch.tensor(9), safe=True)
    with pytest.raises(ShapeError, match=r"expects \[\.\.\., 2\]"):
        Categorical(4, (2,)).encode(2)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=6))
def test_one_hot_round_trip(values):
    spec = Categorical(5)
    tensor = torch.tensor(values)
    hot = spec.to_one_hot(tensor)
    one_hot_spec = spec.to_one_hot_spec()
    assert one_hot_spec == OneHot(5)
    assert one_hot_spec.is_in(hot)
    assert torch.equal(one_hot_spec.to_categorical(hot), tensor)
    assert one_hot_spec.to_categorical_spec() == spec


def test_conversions_keep_the_mask_and_test_when_asked():
    spec = Categorical(4, (2,), mask=MASK)
    assert spec.to_one_hot_spec().mask.tolist() == [MASK.tolist()] * 2
    assert spec.to_one_hot_spec().to_categorical_spec() == spec
    assert spec.to_categorical_spec() == spec
    assert spec.to_categorical(torch.tensor([0, 2])).tolist() == [0, 2]
    for convert in (spec.to_one_hot, spec.to_categorical):
        with pytest.raises(SpecError, match="not in the spec"):
            convert(torch.tensor([0, 1]), safe=True)


def test_index_picks_entries():
    spec = Categorical(3)
    assert spec.index(torch.tensor(1), torch.tensor([5, 6, 7])).item() == 6
    assert spec.index(torch.tensor([0, 2]), torch.tensor([5, 6, 7])).tolist() == [5, 7]


@given(st.floats(-20, 20), st.lists(st.booleans(), min_size=4, max_size=4).filter(any))
def test_projection_is_in_and_idempotent(value, mask):
    spec = Categorical(4, mask=torch.tensor(mask))
    once = spec.project(torch.tensor(value))
    assert spec.is_in(once)
    assert torch.equal(spec.project(once), once)
    assert spec.is_in(spec.rand((5,)))


def test_copies_devices_and_equality():
    spec = Categorical(4, mask=MASK)
    copy = spec.clone()
    assert copy == spec
    copy.update_mask(None)
    assert copy != spec
    assert spec.to("meta").mask.device.type == "meta"
    assert spec.to(torch.int32).rand().dtype == torch.int32
    assert Categorical(3) != Categorical(4)


def test_masks_stack_densely_and_sizes_lazily():
    a, b = torch.tensor([True, False]), torch.tensor([False, True])
    spec = torch.stack([Categorical(2, mask=a), Categorical(2, mask=b)])
    assert type(spec) is Categorical
    assert spec.rand().tolist() == [0, 1]
    assert torch.stack([Categorical(2)] * 2) == Categorical(2, (2,))


def test_two_values_as_bools_are_enumerated():
    values = Categorical(2, shape=(4, 2), dtype=torch.bool).enumerate()
    assert values.dtype is torch.bool
    assert values.shape == (2, 4, 2)
    assert values[1].all()
    assert not values[0].any()
