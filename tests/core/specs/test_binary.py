import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rl.core.errors import SpecError
from rl.core.specs import Binary


def test_shape_and_n_imply_each_other():
    assert (Binary(4).shape, Binary(4).n, Binary(4).dtype) == ((4,), 4, torch.int8)
    assert Binary(shape=(3, 2)).n == 2
    assert Binary(1, shape=()).shape == ()


@pytest.mark.parametrize(
    ("build", "fix"),
    [
        (Binary, "needs `n` or `shape`"),
        (lambda: Binary(2, shape=(3,)), r"give shape=\(2,\), or `shape` alone"),
    ],
)
def test_missing_or_clashing_sizes(build, fix):
    with pytest.raises(SpecError, match=fix):
        build()


def test_draws_are_bits():
    spec = Binary(1, (200, 1), dtype=torch.bool)
    assert spec.rand().unique().tolist() == [False, True]
    assert Binary(3).is_in(Binary(3).rand((4,)))


def test_is_in_wants_zeros_and_ones_of_the_dtype():
    spec = Binary(2, dtype=torch.float32)
    assert spec.is_in(torch.tensor([0.0, 1.0]))
    assert not spec.is_in(torch.tensor([0.0, 2.0]))
    assert not spec.is_in(torch.tensor([0, 1]))


@given(st.lists(st.floats(-3, 3), min_size=3, max_size=3))
def test_projection_is_in_and_idempotent(values):
    spec = Binary(3)
    once = spec.project(torch.tensor(values))
    assert once.tolist() == [int(value > 0.5) for value in torch.tensor(values).tolist()]
    assert spec.is_in(once)
    assert torch.equal(spec.project(once), once)


def test_projection_of_booleans_is_a_cast():
    assert Binary(2).project(torch.tensor([True, False])).tolist() == [1, 0]


def test_enumeration_counts():
    spec = Binary(2)
    assert spec.cardinality() == 4
    assert spec.enumerate().tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert Binary(1, (3, 1)).enumerate().shape == (2, 3, 1)
    assert Binary(shape=()).enumerate().tolist() == [0, 1]


def test_encode_index_and_views():
    spec = Binary(3, (2, 3))
    assert Binary(3).encode([1, 0, 1]).tolist() == [1, 0, 1]
    assert Binary(3).index(torch.tensor([1, 0, 1]), torch.tensor([5, 6, 7])).tolist() == [5, 7]
    assert spec[0] == Binary(3)
    assert spec[:, 0] == Binary(2)
    assert spec.squeeze(0) == spec
    assert torch.stack([Binary(3)] * 2) == spec
