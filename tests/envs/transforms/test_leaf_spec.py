import torch

from rl.core import Binary, Bounded, Categorical, Composite, Unbounded
from rl.envs.transforms.leaf_spec import (
    clamp_bounds,
    join_specs,
    map_bounds,
    put_leaf,
    rearrange,
    unbounded_like,
)


def test_map_bounds_orders_the_ends():
    spec = map_bounds(Bounded(0.0, 1.0, (2,)), lambda x: -3 * x)
    assert spec.space.low.tolist() == [-3, -3]
    assert spec.space.high.tolist() == [0, 0]
    assert isinstance(map_bounds(Unbounded((2,)), lambda x: x.double()), Unbounded)
    assert map_bounds(Unbounded((2,)), lambda x: x.double()).dtype == torch.float64


def test_rearrange_keeps_the_kind():
    binary = rearrange(Binary(shape=(2, 3)), lambda x: x.transpose(0, 1))
    assert (type(binary), tuple(binary.shape)) == (Binary, (3, 2))
    categorical = rearrange(Categorical(5, shape=(2,)), lambda x: x.unsqueeze(-1))
    assert categorical.space.n == 5
    assert categorical.shape == (2, 1)


def test_join():
    assert isinstance(join_specs([Binary(2), Binary(3)], torch.cat), Binary)
    mixed = join_specs([Bounded(0, 1, (2,)), Unbounded((3,))], torch.cat)
    assert (type(mixed), tuple(mixed.shape)) == (type(Unbounded((5,))), (5,))


def test_clamp():
    space = clamp_bounds(Bounded(-3.0, 3.0, (1,)), None, 1.0).space
    assert (space.low.item(), space.high.item()) == (-3, 1)
    space = clamp_bounds(Unbounded((1,)), 0.0, None).space
    assert (space.low.item(), space.high.item()) == (0, torch.finfo(torch.float32).max)
    assert isinstance(clamp_bounds(Unbounded((1,)), None, None), Unbounded)


def test_put_leaf_makes_the_group():
    spec = Composite(shape=(2,))
    put_leaf(spec, ("a", "b", "x"), Unbounded((2, 3, 1)), torch.Size([2, 3]))
    assert spec["a"].shape == (2, 3)
    assert spec["a", "b", "x"].shape == (2, 3, 1)


def test_unbounded_like():
    spec = unbounded_like(Bounded(0, 1, (2,)), dtype=torch.float64)
    assert (tuple(spec.shape), spec.dtype) == ((2,), torch.float64)
