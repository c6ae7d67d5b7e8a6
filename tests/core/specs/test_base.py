import array
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rl.core.errors import ShapeError, SpecError
from rl.core.specs import (
    Binary,
    Bounded,
    Categorical,
    Choice,
    Composite,
    MultiCategorical,
    MultiOneHot,
    NonTensor,
    OneHot,
    TensorSpec,
    Unbounded,
)
from rl.core.specs.base import as_device, implements

LEAVES = [
    Bounded(-1, 1, (4, 3)),
    Bounded(0, 7, (4, 3), dtype=torch.int64),
    Unbounded((4, 3)),
    Categorical(5, (4, 3)),
    Categorical(3, (4, 3), mask=torch.tensor([True, False, True])),
    OneHot(3, (4, 3)),
    OneHot(3, (4, 3), mask=torch.tensor([True, False, True])),
    Binary(3, (4, 3)),
    MultiCategorical([2, 3, 4], (4, 3)),
    MultiOneHot([1, 2], (4, 3)),
    NonTensor((4, 3), example_data="x"),
    Choice([Bounded(-1, 1, (4, 3)), Bounded(3, 4, (4, 3))]),
]
leaves = pytest.mark.parametrize("spec", LEAVES, ids=lambda s: f"{type(s).__name__}-{s.dtype}")


@leaves
def test_views_of_specs_follow_views_of_values(spec):
    for view in (
        lambda x: x[0],
        lambda x: x[1:3],
        lambda x: x[[0, 2]],
        lambda x: x[torch.tensor([True, False, True, False])],
        lambda x: x[None],
        lambda x: x.unsqueeze(1),
        lambda x: x.unsqueeze(0).squeeze(0),
        lambda x: x.expand(2, 4, 3),
        lambda x: x.reshape(2, 2, 3),
        lambda x: x.unflatten(0, (2, 2)).flatten(0, 1),
        lambda x: torch.unsqueeze(x, 0),
        lambda x: torch.squeeze(torch.unsqueeze(x, 0), 0),
    ):
        seen = view(spec)
        assert tuple(seen.shape) == tuple(view(torch.zeros(4, 3)).shape)
        assert seen.is_in(seen.rand())


@leaves
@given(st.integers(1, 4), st.integers(0, 3))
def test_expanding_and_indexing_gives_the_spec_back(spec, n, i):
    assert spec.expand(n, 4, 3)[i % n] == spec


@leaves
def test_stacking_and_unbinding_gives_the_specs_back(spec):
    for dim in (0, 1):
        stacked = torch.stack([spec, spec], dim)
        assert type(stacked) is type(spec)
        assert stacked.unbind(dim) == (spec, spec) == torch.unbind(stacked, dim)
        assert stacked.is_in(stacked.rand())


@leaves
def test_specs_pickle_for_worker_processes(spec):
    assert pickle.loads(pickle.dumps(spec)) == spec


@leaves
def test_copies_are_equal_and_specs_unhashable(spec):
    assert spec.clone() == spec
    assert spec != Unbounded((1,), dtype=torch.float64)
    assert spec != "spec"
    with pytest.raises(TypeError, match="unhashable"):
        hash(spec)


def test_assert_is_in_shows_value_and_fix():
    spec = Bounded(0, 1, (2,))
    spec.assert_is_in(torch.ones(2))
    with pytest.raises(SpecError, match=r"value=\[3.0, 3.0\](.|\n)*spec.project\(value\)"):
        spec.assert_is_in(torch.full((2,), 3.0))
    with pytest.raises(SpecError, match="str: 'x'"):
        spec.assert_is_in("x")


def test_type_check_names_key_and_dtypes():
    with pytest.raises(SpecError, match=r"`obs` has dtype torch.float64.*torch.float32: cast it"):
        Bounded(0, 1, (2,)).type_check(torch.ones(2, dtype=torch.float64), "obs")
    Bounded(0, 1, (2,)).type_check(torch.ones(2))


def test_encode_reads_numbers_lists_arrays_and_lists_of_tensors():
    spec = Unbounded((2,))
    for value in ([1, 2], (1, 2), np.array([1, 2]), torch.tensor([1, 2]), [torch.tensor(1.0)] * 2):
        assert spec.encode(value).dtype == torch.float32
        assert spec.encode(value).shape == (2,)
    assert Unbounded((1,)).encode(0.5).tolist() == [0.5]
    assert Unbounded((1,)).encode(np.array(0.5)).tolist() == [0.5]
    assert Unbounded(()).encode([0.5]).tolist() == [0.5]  # a batch of one
    with pytest.raises(ShapeError, match=r"expects \[\.\.\., 2\]: reshape the value"):
        spec.encode([1, 2, 3])


def test_encode_leaves_the_device_alone_when_told():
    value = torch.ones(2, device="meta")
    assert Unbounded((2,)).encode(value, ignore_device=True).device.type == "meta"


def test_memoized_encodings_are_equal_and_fresh():
    spec = Categorical(4)
    spec.memoize_encode()
    first = spec.encode(2)
    first.fill_(0)
    assert spec.encode(2).item() == 2
    assert spec.encode(np.array(2)).item() == spec.encode(torch.tensor(2)).item() == 2
    spec.erase_memoize_cache()
    assert spec.encode(3).item() == 3
    spec.memoize_encode(False)
    assert spec.encode(2).item() == 2
    assert Unbounded((2,)).encode([1, 2]).tolist() == [1, 2]


def test_memoized_encoding_takes_what_cannot_be_a_key():
    spec = Unbounded((2,))
    spec.memoize_encode()
    value = array.array("f", [1, 2])  # has no hash
    assert spec.encode(value).tolist() == [1, 2]
    value[0] = 5
    assert spec.encode(value).tolist() == [5, 2]


def test_the_cache_of_encodings_is_bounded():
    spec = Unbounded(())
    spec.memoize_encode()
    for i in range(5000):
        assert spec.encode(i).item() == i
    assert len(spec._memo) <= 4096


def test_memoized_encoding_does_not_mix_ints_and_bools():
    spec = OneHot(2)
    spec.memoize_encode()
    assert spec.encode(1).tolist() == [False, True]
    with pytest.raises(ShapeError, match="reshape"):
        spec.encode(True)


def test_values_without_index_cardinality_or_draws():
    with pytest.raises(NotImplementedError, match="cannot index"):
        Bounded(0, 1, (2,)).index(1, torch.arange(3))
    bare = TensorSpec((2,))
    for call in (bare.rand, bare.cardinality, bare.enumerate):
        with pytest.raises(NotImplementedError, match="`TensorSpec`"):
            call()
    assert bare.is_in(torch.zeros(2))
    assert bare.project(torch.zeros(2)).shape == (2,)


def test_dims_out_of_range_say_which_are_in():
    with pytest.raises(ShapeError, match=r"give one of -1\.\.0"):
        Unbounded((2,)).unbind(3)
    with pytest.raises(SpecError, match="index it"):
        Unbounded((-1, 2)).unbind(0)
    with pytest.raises(IndexError):
        Unbounded((2,))[5]
    assert len(list(Unbounded((2, 3)))) == 2


def test_torch_functions_that_specs_do_not_have_raise():
    with pytest.raises(TypeError, match=r"Multiple dispatch failed|no implementation found"):
        torch.exp(Unbounded((2,)))


def test_implements_adds_a_torch_function():
    @implements(torch.numel)
    def numel(spec):
        return spec.shape.numel()

    assert torch.numel(Unbounded((2, 3))) == 6


def test_devices():
    assert as_device(None) == torch.get_default_device()
    assert Unbounded((2,)).to("cpu:0") == Unbounded((2,)).cpu()
    assert as_device("cpu:0") == torch.device("cpu")
    assert as_device("cuda").index is not None
    assert as_device("cuda:1") == torch.device("cuda", 1)
    assert Unbounded((2,)).clear_device_().device == torch.device("cpu")
    with torch.device("meta"):
        assert Unbounded((2,)).rand().device.type == "meta"
    assert Unbounded((2,)).view(1, 2).ndimension() == 2


def test_repr_names_everything():
    assert repr(Categorical(4)) == (
        "Categorical(shape=[], space=CategoricalBox(n=4), device=cpu, dtype=torch.int64, "
        "domain=discrete)"
    )
    assert isinstance(Composite(), TensorSpec)
