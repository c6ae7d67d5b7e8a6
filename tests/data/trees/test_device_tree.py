"""Trees of tensors on a device: on the CPU always, and on CUDA where there is one."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rl.data import (
    CudaMinSegmentTreeFp32,
    CudaMinSegmentTreeFp64,
    CudaSumSegmentTreeFp32,
    CudaSumSegmentTreeFp64,
    DeviceMinTree,
    DeviceSumTree,
    PrioritizedSampler,
    SumTree,
)

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
# up to 128 leaves are one level, up to 16 384 two, up to 2 097 152 three
SIZES = st.sampled_from([1, 2, 127, 128, 129, 4096, 16_385, 70_000, 2_100_000])


@st.composite
def updates(draw):
    size = draw(SIZES)
    batch = st.lists(st.tuples(st.integers(0, size - 1), st.integers(0, 50)), max_size=20)
    return size, draw(st.lists(batch, min_size=1, max_size=4))


def filled(cls, size, batches, device):
    """The tree and a plain array after the same updates; integers make float sums exact."""
    tree = cls(size, torch.float64, device)
    naive = np.full(size, tree.identity_element)
    for batch in batches:
        for index, value in batch:
            naive[index] = value
        index = torch.tensor([i for i, _ in batch], dtype=torch.int64, device=device)
        tree[index] = torch.tensor([float(v) for _, v in batch], dtype=torch.float64)
    return tree, naive


@pytest.mark.parametrize("device", DEVICES)
@settings(deadline=None, max_examples=50)
@given(updates(), st.data())
def test_reductions_equal_naive_ones(device, case, data):
    size, batches = case
    start = data.draw(st.integers(0, size))
    end = data.draw(st.integers(start, size))
    tree, naive = filled(DeviceSumTree, size, batches, device)
    assert tree.reduce() == naive.sum()
    assert tree.query(start, end) == naive[start:end].sum()
    np.testing.assert_array_equal(tree.leaves().cpu().numpy(), naive)
    tree, naive = filled(DeviceMinTree, size, batches, device)
    assert tree.reduce() == naive.min()
    assert tree.query(start, end) == naive[start:end].min(initial=np.inf)


@pytest.mark.parametrize("device", DEVICES)
@settings(deadline=None, max_examples=50)
@given(updates(), st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=10))
def test_search_equals_search_in_the_naive_prefix_sums(device, case, shares):
    tree, naive = filled(DeviceSumTree, *case, device)
    if naive.sum() == 0:
        return
    values = np.array(shares) * naive.sum()
    found = tree.scan_lower_bound(torch.from_numpy(values))
    expected = naive.cumsum().searchsorted(values, "right")
    np.testing.assert_array_equal(found.cpu().numpy(), expected)
    assert tree.least_leaf().value() == naive[naive > 0].min()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e20])
def test_search_never_finds_an_empty_leaf_whatever_the_rounding(device, scale):
    generator = torch.Generator().manual_seed(0)
    tree = DeviceSumTree(70_000, device=device)
    index = torch.randperm(70_000, generator=generator)[:300]
    magnitude = 10 ** torch.randint(-6, 6, (300,), generator=generator).float()
    tree[index] = torch.rand(300, generator=generator) * magnitude * scale
    shares = torch.rand(20_000, generator=generator, dtype=torch.float64)
    shares[:2] = torch.tensor([0.0, 1.0])
    found = tree.scan_lower_bound(shares * tree.reduce() * 1.0000001)
    assert (tree[found] > 0).all()


@pytest.mark.parametrize("device", DEVICES)
def test_draws_follow_the_leaves(device):
    tree = DeviceSumTree(1000, device=device)
    tree[torch.arange(4) * 300] = torch.tensor([1.0, 2.0, 3.0, 4.0])
    share = torch.rand(100_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found, leaves = tree.draw(share)
    assert torch.equal(leaves, tree[found])
    counts = found.cpu().bincount(minlength=1000)[::300]
    assert (counts / 1e4 - torch.arange(1, 5)).abs().max() < 0.06


@pytest.mark.parametrize("device", DEVICES)
def test_the_last_value_of_a_repeated_index_stays(device):
    generator = torch.Generator().manual_seed(3)
    index = torch.randint(50, (5000,), generator=generator)
    value = torch.rand(5000, generator=generator)
    tree, host = DeviceSumTree(50, device=device), SumTree(50)
    tree[index], host[index] = value, value
    assert torch.equal(tree.leaves().cpu(), host.leaves())
    assert tree.reduce() == pytest.approx(host.reduce())


def built_step_by_step(device):
    generator = torch.Generator().manual_seed(1)
    tree = DeviceSumTree(70_000, device=device)
    for count in [1, 2, 3, 7, 8, 33, 300, 5000, 50_000, 9]:
        index = torch.randint(70_000, (count,), generator=generator)
        tree[index] = torch.rand(count, generator=generator)
    return tree


def assert_same(tree, other):
    for mine, theirs in zip(tree._levels, other._levels, strict=True):
        assert torch.equal(mine.cpu(), theirs.cpu())


@pytest.mark.parametrize("device", DEVICES)
def test_loaded_and_copied_leaves_make_the_same_tree_bit_for_bit(device):
    tree = built_step_by_step(device)
    other = DeviceSumTree(70_000, device=device)
    other.load_leaves(tree.leaves())
    assert_same(tree, other)
    copied = copy.deepcopy(tree)
    assert_same(tree, copied)
    copied[0] = 7.0
    assert tree[0] != 7.0
    assert copied.device == tree.device
    tree.clear()
    assert tree.reduce() == 0
    assert len(tree) == 70_000 <= tree.capacity


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_cuda_gives_the_same_bits_as_the_cpu():
    tree, other = built_step_by_step("cuda"), built_step_by_step("cpu")
    assert_same(tree, other)
    share = torch.rand(1000, dtype=torch.float64)
    assert torch.equal(tree.draw(share)[0].cpu(), other.draw(share)[0])


def test_bad_input():
    tree = DeviceSumTree(5, device="cpu")
    for index in ([-1], [5], [0, 5]):
        with pytest.raises(IndexError, match=r"expected them in \[0, 5\)"):
            tree[torch.tensor(index)] = 1.0
    assert tree.reduce() == 0.0
    with pytest.raises(ValueError, match="positive number of leaves"):
        DeviceSumTree(0, device="cpu")


@pytest.mark.parametrize(
    ("cls", "dtype"),
    [
        (CudaSumSegmentTreeFp32, torch.float32),
        (CudaSumSegmentTreeFp64, torch.float64),
        (CudaMinSegmentTreeFp32, torch.float32),
        (CudaMinSegmentTreeFp64, torch.float64),
    ],
)
def test_the_names_of_torchrl(cls, dtype):
    make = partial(cls, 8) if torch.cuda.is_available() else partial(cls, 8, "cpu")
    tree = make()
    tree[torch.arange(8)] = 2.0
    assert tree.dtype == dtype
    assert tree.reduce() == tree.query(0, 8) == (16 if isinstance(tree, SumTree) else 2)


def test_the_sampler_takes_a_device():
    host = PrioritizedSampler(10, 0.7, 0.5, device="cpu")
    assert not isinstance(host._sum_tree, DeviceSumTree)
    with_device = PrioritizedSampler(10, 0.7, 0.5, device="meta")
    assert with_device._sum_tree.device.type == "meta"
