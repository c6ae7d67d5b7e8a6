import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rl.data import (
    MinSegmentTreeFp32,
    MinSegmentTreeFp64,
    MinTree,
    SumSegmentTreeFp32,
    SumSegmentTreeFp64,
    SumTree,
)

# up to 16 384 leaves are one level, up to 1 048 576 two
SIZES = st.sampled_from([1, 2, 15, 16, 17, 255, 4096, 16_385, 70_000, 1_100_000])


@st.composite
def updates(draw):
    size = draw(SIZES)
    batches = draw(
        st.lists(
            st.lists(st.tuples(st.integers(0, size - 1), st.integers(0, 50)), max_size=20),
            min_size=1,
            max_size=4,
        )
    )
    return size, batches


def filled(cls, size, batches):
    """The tree and a plain array after the same updates; integers make float sums exact."""
    tree = cls(size, torch.float64)
    naive = np.full(size, tree.identity_element)
    for batch in batches:
        for index, value in batch:
            naive[index] = value
        index = torch.tensor([i for i, _ in batch], dtype=torch.int64)
        tree[index] = torch.tensor([float(v) for _, v in batch], dtype=torch.float64)
    return tree, naive


@settings(deadline=None, max_examples=60)
@given(updates(), st.data())
def test_sums_equal_naive_sums(case, data):
    size, batches = case
    tree, naive = filled(SumTree, size, batches)
    assert tree.reduce() == naive.sum()
    start = data.draw(st.integers(0, size))
    end = data.draw(st.integers(start, size))
    assert tree.query(start, end) == naive[start:end].sum()
    np.testing.assert_array_equal(tree.leaves().numpy(), naive)


@settings(deadline=None, max_examples=60)
@given(updates(), st.data())
def test_minima_equal_naive_minima(case, data):
    size, batches = case
    tree, naive = filled(MinTree, size, batches)
    assert tree.reduce() == naive.min()
    start = data.draw(st.integers(0, size))
    end = data.draw(st.integers(start, size))
    assert tree.query(start, end) == naive[start:end].min(initial=np.inf)


@settings(deadline=None, max_examples=60)
@given(updates(), st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=10))
def test_search_equals_search_in_the_naive_prefix_sums(case, shares):
    tree, naive = filled(SumTree, *case)
    if naive.sum() == 0:
        return
    values = np.array(shares) * naive.sum()
    expected = naive.cumsum().searchsorted(values, "right")
    found = tree.scan_lower_bound(torch.from_numpy(values))
    np.testing.assert_array_equal(found.numpy(), expected)


def test_search_never_finds_an_empty_leaf_whatever_the_rounding():
    generator = torch.Generator().manual_seed(0)
    tree = SumTree(70_000)
    index = torch.randperm(70_000, generator=generator)[:300]
    tree[index] = torch.rand(300, generator=generator) * 10 ** torch.randint(-6, 6, (300,)).float()
    shares = torch.rand(20_000, generator=generator, dtype=torch.float64)
    shares[:2] = torch.tensor([0.0, 1.0])
    found = tree.scan_lower_bound(shares * tree.reduce() * 1.0000001)
    assert (tree[found] > 0).all()


def test_a_scalar_value_gives_a_scalar_index():
    tree = SumTree(4)
    tree[torch.arange(4)] = torch.tensor([1.0, 0.0, 2.0, 3.0])
    assert tree.scan_lower_bound(0.5) == 0
    assert tree.scan_lower_bound(1.0) == 2
    assert tree.scan_lower_bound(100.0) == 3
    assert tree[2] == 2.0


def test_the_shape_of_the_values_is_kept():
    tree = SumTree(4)
    tree[torch.arange(4)] = 1.0
    assert tree.scan_lower_bound(torch.tensor([[0.5, 1.5], [2.5, 3.5]])).tolist() == [
        [0, 1],
        [2, 3],
    ]


def test_the_last_value_of_a_repeated_index_stays():
    tree = SumTree(3)
    tree[torch.tensor([1, 1])] = torch.tensor([5.0, 2.0])
    assert tree.leaves().tolist() == [0.0, 2.0, 0.0]
    assert tree.reduce() == 2.0


def test_loaded_leaves_make_the_same_tree_bit_for_bit():
    generator = torch.Generator().manual_seed(1)
    tree = SumTree(70_000)
    for count in [1, 2, 3, 7, 8, 33, 300, 5000, 50_000, 9]:
        index = torch.randint(70_000, (count,), generator=generator)
        tree[index] = torch.rand(count, generator=generator)
    other = SumTree(70_000)
    other.load_leaves(tree.leaves())
    for mine, theirs in zip(tree._levels, other._levels, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_clear_sets_every_leaf_to_the_identity():
    tree = MinTree(20)
    tree[torch.arange(20)] = 1.0
    tree.clear()
    assert tree.reduce() == float("inf")


@pytest.mark.parametrize("index", [-1, 5, [0, 5]])
def test_indices_out_of_range_raise_and_change_nothing(index):
    tree = SumTree(5)
    with pytest.raises(IndexError, match=r"expected them in \[0, 5\)"):
        tree[torch.tensor(index)] = 1.0
    assert tree.reduce() == 0.0


def test_bad_ranges_raise():
    with pytest.raises(IndexError, match=r"not within \[0, 5\]"):
        SumTree(5).query(0, 6)


def test_bad_arguments_raise():
    with pytest.raises(ValueError, match="expected a positive number"):
        SumTree(0)
    with pytest.raises(ValueError, match=r"expected torch\.float32 or torch\.float64"):
        SumTree(5, torch.int64)
    with pytest.raises(ValueError, match=r"expected \[5\] and torch\.float32"):
        SumTree(5).load_leaves(torch.zeros(4))


@pytest.mark.parametrize(
    ("cls", "dtype"),
    [
        (SumSegmentTreeFp32, torch.float32),
        (SumSegmentTreeFp64, torch.float64),
        (MinSegmentTreeFp32, torch.float32),
        (MinSegmentTreeFp64, torch.float64),
    ],
)
def test_torchrl_names(cls, dtype):
    tree = cls(10)
    tree[3] = 2.0
    assert tree.dtype is dtype
    assert len(tree) == 10
    assert tree.query(0, 10) == 2.0
    assert tree.capacity >= 10


@pytest.mark.parametrize("kind", [SumTree, MinSegmentTreeFp64])
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda tree: pickle.loads(pickle.dumps(tree))])
def test_a_copy_changes_on_its_own(kind, copied):
    tree = kind(5000)
    tree[torch.arange(5000)] = torch.ones(5000, dtype=tree.dtype)
    other = copied(tree)
    other[torch.tensor([4321])] = torch.tensor([0.5], dtype=tree.dtype)
    assert other.reduce() == other.query(0, 5000) == (0.5 if kind is not SumTree else 4999.5)
    assert tree.reduce() == (1.0 if kind is not SumTree else 5000.0)
