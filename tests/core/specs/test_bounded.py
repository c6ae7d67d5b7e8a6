import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rl.core.errors import ShapeError, SpecError
from rl.core.specs import Bounded, BoundedContinuous, BoundedDiscrete

INF = math.inf


def test_positional_arguments_and_attributes():
    spec = Bounded(-1, 1, (6,))
    assert spec.shape == (6,)
    assert spec.domain == "continuous"
    assert spec.dtype == torch.float32
    assert spec.device == torch.device("cpu")
    assert spec.space.low.tolist() == spec.low.tolist() == [-1] * 6
    assert spec.space.high.tolist() == spec.high.tolist() == [1] * 6


def test_shape_comes_from_the_bounds():
    assert Bounded(torch.zeros(3), torch.ones(3)).shape == (3,)
    assert Bounded(np.zeros((2, 1)), np.ones(3)).shape == (2, 3)
    assert Bounded(0, [1.0, 2.0]).high.tolist() == [1, 2]


def test_bounds_broadcast_to_the_shape():
    assert Bounded(0, torch.ones(2), (3, 2)).low.shape == (3, 2)


def test_the_dtype_is_the_default_one_whatever_the_bounds():
    spec = Bounded(torch.zeros(2, dtype=torch.int64), torch.ones(2, dtype=torch.int64))
    assert (spec.dtype, spec.domain) == (torch.float32, "continuous")


@pytest.mark.parametrize(
    ("build", "fix"),
    [
        (lambda: Bounded(0, 1), r"add `shape=\(\)` for a scalar"),
        (lambda: Bounded(0), r"needs `high`"),
        (lambda: Bounded(high=0, shape=(1,)), r"needs `low`"),
        (lambda: Bounded(1, 0, (2,)), "give low <= high"),
        (lambda: Bounded(torch.zeros(3), 1, (2,)), "`low` has shape .* give a number or a tensor"),
        (lambda: Bounded(math.nan, 1, (2,)), "`low` holds NaN"),
        (lambda: Bounded(0, INF, (2,), dtype=torch.int64), "use `Unbounded`"),
        (lambda: BoundedContinuous(0, 1, (2,), dtype=torch.int64), "use `BoundedDiscrete`"),
        (lambda: BoundedDiscrete(0, 1, (2,), dtype=torch.float32), "use `BoundedContinuous`"),
    ],
)
def test_ill_formed_bounds_are_refused_with_the_fix(build, fix):
    with pytest.raises(SpecError, match=fix):
        build()


def test_flavours_are_bounded_and_equal_to_it():
    assert isinstance(BoundedContinuous(0, 1, (2,)), Bounded)
    assert BoundedContinuous(0, 1, (2,)) == Bounded(0, 1, (2,))
    assert BoundedDiscrete(0, 1, (2,)) == Bounded(0, 1, (2,), dtype=torch.int64)
    assert BoundedDiscrete(0, 1, (2,)).domain == "discrete"
    assert Bounded(0, 1, (2,)) != Bounded(0, 2, (2,))
    assert Bounded(0, 1, (2,)) != Bounded(0, 1, (2, 1))


@pytest.mark.parametrize(
    "spec",
    [
        Bounded(-2, 3, (4,)),
        Bounded(torch.tensor([0.0, -5.0]), torch.tensor([1.0, 5.0])),
        Bounded(-2, 3, (4,), dtype=torch.int64),
        Bounded(torch.tensor([0, -5]), torch.tensor([1, 5]), dtype=torch.int32),
        Bounded(0, 255, (2, 2), dtype=torch.uint8),
        Bounded(torch.tensor([-INF, 0.0, -INF]), torch.tensor([INF, INF, 0.0])),
        Bounded(-3e38, 3e38, (3,)),
        Bounded(0, 1, (), dtype=torch.float64),
        Bounded(-1, 1, (-1, 2)),
        Bounded(0, 0, (2,)),
    ],
    ids=str,
)
def test_draws_are_in_the_spec(spec):
    draws = spec.rand((200,))
    assert spec.is_in(draws)
    assert draws.dtype == spec.dtype
    assert draws.isfinite().all()
    assert spec.is_in(spec.rand())
    assert spec.sample((3, 2)).shape[:2] == (3, 2)


def test_draws_reach_both_ends_of_integers_and_the_width_of_floats():
    torch.manual_seed(0)
    assert Bounded(0, 2, (300,), dtype=torch.int64).rand().unique().tolist() == [0, 1, 2]
    vector = Bounded(torch.tensor([0, 10]), torch.tensor([1, 12]), dtype=torch.int64).rand((300,))
    assert vector[:, 0].unique().tolist() == [0, 1]
    assert vector[:, 1].unique().tolist() == [10, 11, 12]
    wide = Bounded(torch.tensor([0.0, 10.0]), torch.tensor([1.0, 14.0])).rand((2000,))
    assert wide.mean(0).tolist() == pytest.approx([0.5, 12], abs=0.1)


@given(
    st.floats(-100, 100, width=32),
    st.floats(0, 100, width=32),
    st.integers(0, 2**31),
)
def test_rounding_never_leaves_the_bounds(low, width, seed):
    torch.manual_seed(seed)
    high = torch.tensor(low) + torch.tensor(width)
    assert Bounded(low, high, (64,)).is_in(Bounded(low, high, (64,)).rand())
    spec = Bounded(torch.tensor([low, 0.0]), torch.stack([high, torch.tensor(1.0)]))
    assert spec.is_in(spec.rand((64,)))


def test_missing_bounds_are_drawn_beyond_the_other():
    torch.manual_seed(0)
    spec = Bounded(torch.tensor([-INF, 2.0, -INF]), torch.tensor([INF, INF, -2.0]))
    draws = spec.rand((4000,))
    # a standard normal, 2 plus and -2 minus a unit exponential
    assert draws.mean(0).tolist() == pytest.approx([0, 3, -3], abs=0.1)
    assert draws.std(0).tolist() == pytest.approx([1, 1, 1], abs=0.1)


def test_is_in_tests_values_dtype_and_trailing_shape():
    spec = Bounded(0, 1, (2,))
    assert spec.is_in(torch.tensor([0.0, 1.0]))
    assert spec.contains(torch.ones(5, 2))
    assert not spec.is_in(torch.tensor([0.0, 1.1]))
    assert not spec.is_in(torch.tensor([0.0, math.nan]))
    assert not spec.is_in(torch.zeros(2, dtype=torch.float64))
    assert not spec.is_in(torch.zeros(3))
    assert not spec.is_in([0.0, 1.0])
    assert Bounded(0, 1, (-1, 2)).is_in(torch.ones(7, 2))


def test_project_clamps_and_casts():
    spec = Bounded(-1, 1, (2,))
    assert spec.project(torch.tensor([-3.0, 0.5])).tolist() == [-1, 0.5]
    assert spec.project(torch.tensor([-3, 3])).dtype == torch.float32
    pixels = Bounded(0, 255, (2,), dtype=torch.uint8)
    assert pixels.project(torch.tensor([300.0, -4.0])).tolist() == [255, 0]
    with pytest.raises(ShapeError, match="reshape the value"):
        spec.project(torch.zeros(3))


@given(st.lists(st.floats(-100, 100, width=32), min_size=3, max_size=3))
def test_projection_is_in_and_idempotent(values):
    spec = Bounded(torch.tensor([-1.0, 0.0, -50.0]), torch.tensor([1.0, 20.0, 50.0]))
    once = spec.project(torch.tensor(values))
    assert spec.is_in(once)
    assert torch.equal(spec.project(once), once)


@given(st.lists(st.floats(-1, 1, width=32), min_size=4, max_size=4))
def test_encode_and_to_numpy_are_inverse(values):
    spec = Bounded(-1, 1, (2, 2))
    array = np.asarray(values, dtype=np.float32).reshape(2, 2)
    assert np.array_equal(spec.to_numpy(spec.encode(array)), array)


def test_zero_and_one_have_the_shape_even_outside_the_bounds():
    spec = Bounded(2, 3, (2,))
    assert spec.zero().tolist() == spec.zeros().tolist() == [0, 0]
    assert spec.one((2,)).tolist() == spec.ones((2,)).tolist() == [[1, 1], [1, 1]]


def test_cardinality_and_enumeration_of_integers():
    spec = BoundedDiscrete(torch.tensor([0, 5]), torch.tensor([1, 7]))
    assert spec.cardinality() == 6
    assert spec.enumerate().tolist() == [[0, 5], [0, 6], [0, 7], [1, 5], [1, 6], [1, 7]]
    assert Bounded(0, 1, (1,)).cardinality() == INF
    assert BoundedDiscrete(0, 1, (2, 1)).enumerate().shape == (4, 2, 1)
    with pytest.raises(NotImplementedError, match="cannot be enumerated"):
        Bounded(0, 1, (1,)).enumerate()


def test_bounds_follow_views():
    spec = Bounded(torch.tensor([0.0, -1.0]), torch.tensor([1.0, 2.0]))
    assert spec[1].low.tolist() == -1
    assert spec.unsqueeze(0).expand(3, 2).high.tolist() == [[1, 2]] * 3
    assert spec.expand(2, -1)[:, 0].high.tolist() == [1, 1]
    assert torch.index_select(spec, 0, torch.tensor([1])).low.tolist() == [-1]
    left, right = spec.unbind(0)
    assert (left.high.tolist(), right.high.tolist()) == (1, 2)
    assert spec.expand(4, 2).is_in(spec.expand(4, 2).rand())


def test_a_clone_has_its_own_bounds():
    spec = Bounded(0, 1, (2,))
    copy = spec.clone()
    spec.space.low.fill_(-5)
    assert copy.low.tolist() == [0, 0]


def test_to_another_device_and_dtype():
    spec = Bounded(0, 1, (2,))
    assert spec.to("meta").low.device.type == "meta"
    assert spec.to(torch.int64) == BoundedDiscrete(0, 1, (2,))
    assert spec.to("cpu") is spec.cpu() is spec.to(None) is spec


def test_unequal_bounds_stack_densely():
    spec = torch.stack([Bounded(0, 1, (3,)), Bounded(0, 2, (3,))], 1)
    assert type(spec) is Bounded
    assert spec.high.tolist() == [[1, 2]] * 3
    assert torch.stack([Bounded(0, 1, (3,))] * 2, -1).shape == (3, 2)
