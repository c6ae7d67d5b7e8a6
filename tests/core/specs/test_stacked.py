import math

import numpy as np
import pytest
import torch
from tensordict import LazyStackedTensorDict, TensorDict

from rl.core.errors import MissingKeyError, SpecError
from rl.core.specs import (
    Bounded,
    Categorical,
    Composite,
    OneHot,
    Stacked,
    StackedComposite,
    Unbounded,
)
from rl.core.specs.stacked import stack_specs


@pytest.fixture
def ragged():
    return torch.stack([Bounded(0, 1, (3,)), Bounded(0, 1, (4,))])


@pytest.fixture
def sizes():
    return torch.stack([Categorical(2), Categorical(3)])


@pytest.fixture
def tree():
    return torch.stack(
        [
            Composite(a=Bounded(0, 1, (3,)), b=Unbounded((2,))),
            Composite(a=Bounded(0, 1, (5,)), d=Unbounded((2,))),
        ]
    )


def test_leaves_of_different_shapes_stack_lazily(ragged):
    assert isinstance(ragged, Stacked)
    assert (ragged.shape, ragged.dim, ragged.stack_dim) == ((2, -1), 0, 0)
    assert (ragged.dtype, ragged.domain, ragged.space) == (torch.float32, "continuous", None)
    assert ragged.unbind(0) == (Bounded(0, 1, (3,)), Bounded(0, 1, (4,)))


def test_ragged_values_are_nested_tensors(ragged):
    for value in (ragged.rand(), ragged.zero(), ragged.one()):
        assert value.is_nested
        assert [len(part) for part in value.unbind()] == [3, 4]
        assert ragged.is_in(value)
    assert ragged.is_in([torch.ones(3), torch.zeros(4)])
    assert not ragged.is_in([torch.ones(3), torch.full((4,), 2.0)])
    assert not ragged.is_in([torch.ones(3)])
    assert not ragged.is_in(torch.ones(2, 3))
    assert not ragged.is_in(torch.ones(3))
    with pytest.raises(SpecError, match=r"put the spec into a `Composite`, stack that"):
        ragged.rand((2,))


def test_values_of_one_shape_are_plain_tensors(sizes):
    assert sizes.shape == (2,)
    assert sizes.rand((4,)).shape == (4, 2)
    assert sizes.is_in(sizes.rand((4,)))
    assert sizes.is_in(torch.tensor([1, 2]))
    assert not sizes.is_in(torch.tensor([2, 1]))
    assert sizes.cardinality() == 6


def test_project_encode_and_to_numpy_go_part_by_part(ragged, sizes):
    assert sizes.project(torch.tensor([[7, 7], [-1, 1]])).tolist() == [[1, 2], [0, 1]]
    assert sizes.encode([1, 2]).tolist() == [1, 2]
    assert sizes.encode(np.array([[1, 2], [0, 0]])).tolist() == [[1, 2], [0, 0]]
    assert sizes.to_numpy(torch.tensor([1, 2])) == [1, 2]
    nested = ragged.project([torch.full((3,), 4.0), torch.full((4,), -4.0)])
    assert [part.tolist() for part in nested.unbind()] == [[1] * 3, [0] * 4]
    with pytest.raises(SpecError, match="give them as a list"):
        sizes.encode([1])
    with pytest.raises(SpecError, match="not in the spec"):
        sizes.to_numpy(torch.tensor([2, 2]), safe=True)


def test_views_follow_the_stack_dim(ragged):
    assert ragged[1] == Bounded(0, 1, (4,))
    assert ragged[-1] == ragged[1]
    assert ragged[0:1] == Bounded(0, 1, (1, 3))
    assert ragged[:, 0] == Bounded(0, 1, (2,))
    assert ragged[[1, 0]].unbind(0) == (ragged[1], ragged[0])
    assert ragged[torch.tensor([False, True])] == Bounded(0, 1, (1, 4))
    assert ragged[None].shape == (1, 2, -1)
    assert ragged[..., 1:3] == Bounded(0, 1, (2, 2))
    wide = ragged.expand(5, 2, -1)
    assert (wide.shape, wide.dim) == ((5, 2, -1), 1)
    assert wide[0] == ragged
    assert wide[:, 1] == Bounded(0, 1, (5, 4))
    assert ragged.unsqueeze(0).squeeze(0) == ragged
    assert ragged.unsqueeze(-1).shape == (2, -1, 1)
    assert ragged.unsqueeze(-1).squeeze() == ragged
    assert ragged.clone() == ragged
    assert ragged.to("meta")[0].device.type == "meta"
    assert ragged != Stacked(Bounded(0, 1, (3,)), Bounded(0, 1, (4,)), dim=1)


def test_dimensions_beside_the_stack_can_be_merged_and_split():
    spec = torch.stack([Categorical(2, (4, 6)), Categorical(3, (4, 6))], 1)
    assert spec.shape == (4, 2, 6)
    assert spec.unflatten(0, (2, 2)).shape == (2, 2, 2, 6)
    assert spec.unflatten(0, (2, 2)).flatten(0, 1) == spec
    assert spec.unflatten(2, (2, 3)).shape == (4, 2, 2, 3)
    assert spec.unflatten(2, (2, 3)).flatten(2, 3) == spec
    assert spec.make_neg_dim(0).shape == (-1, 2, 6)
    assert spec.reshape(4, 2, 6) is spec
    for view in (
        lambda: spec.flatten(0, 1),
        lambda: spec.unflatten(1, (1, 2)),
        lambda: spec.reshape(8, 6),
        lambda: spec.make_neg_dim(1),
    ):
        with pytest.raises(SpecError, match=r"work on the parts \(`spec.unbind\(1\)`\)"):
            view()


def test_stacks_that_cannot_be():
    for specs, fix in (
        ([Bounded(0, 1, (3,)), Unbounded((3,))], r"different kinds \(Bounded, Unbounded\)"),
        ([Unbounded((3,)), Unbounded((3,), dtype=torch.float64)], "different dtypes"),
        ([Unbounded((3,)), Unbounded((3,)).to("meta")], "different devices"),
        ([Unbounded((3,)), Unbounded(())], "same number of dimensions"),
        ([Unbounded((3,)), Composite()], "put the leaf into a `Composite`"),
        ([Composite(), Composite(shape=(1,))], "expand them to one shape"),
        ([Unbounded((3,)), "x"], "wrap each value in a spec"),
        ([], "at least one"),
    ):
        with pytest.raises(SpecError, match=fix):
            stack_specs(specs)
    with pytest.raises(SpecError, match=r"give one of -2\.\.1"):
        torch.stack([Unbounded((3,))] * 2, 5)
    with pytest.raises(SpecError, match="no `out`"):
        stack_specs([Unbounded()], out=1)


def test_composites_with_equal_keys_stack_densely():
    first = Composite(a=Bounded(0, 1, (2,)), n=None, b=Composite(c=OneHot(3)))
    second = Composite(a=Bounded(0, 2, (2,)), n=None, b=Composite(c=OneHot(3)))
    spec = torch.stack([first, second])
    assert type(spec) is Composite
    assert spec["a"].high.tolist() == [[1, 1], [2, 2]]
    assert spec["n"] is None
    assert spec.unbind(0) == (first, second)
    assert torch.stack([first, first], -1).shape == (2,)


def test_composites_with_other_keys_stack_lazily(tree):
    assert isinstance(tree, StackedComposite)
    assert isinstance(tree, Composite)
    assert (tree.shape, tree.batch_size, tree.names) == ((2,), (2,), [None])
    assert list(tree.keys()) == list(tree.keys(True, True)) == ["a"]
    assert tree["a"].shape == (2, -1)
    assert "b" not in tree
    assert tree.get("b", 5) == 5
    with pytest.raises(MissingKeyError, match=r"parts \[1\] lack it.*`consolidate_spec`"):
        tree["b"]
    with pytest.raises(MissingKeyError, match="Did you mean `a`"):
        tree["aa"]


def test_lazy_trees_give_lazy_data(tree):
    for value in (tree.rand(), tree.zero(), tree.one()):
        assert isinstance(value, LazyStackedTensorDict)
        assert value[1]["a"].shape == (5,)
        assert tree.is_in(value)
    assert tree.rand((3,)).batch_size == (3, 2)
    assert tree.is_in(tree.rand((3,)))
    assert not tree.is_in(TensorDict(a=torch.zeros(2, 3), batch_size=[2]))
    assert not tree.is_in(TensorDict(batch_size=[5]))
    tree.assert_is_in(tree.rand())
    tree.type_check(tree.rand())
    bad = tree.rand()
    bad[1]["a"] = torch.full((5,), 3.0)
    with pytest.raises(SpecError, match="In `a`"):
        tree.assert_is_in(bad)
    assert tree.is_in(tree.project(bad))
    assert tree.cardinality() == math.inf
    with pytest.raises(NotImplementedError, match="enumerate its parts"):
        tree.enumerate()


def test_lazy_trees_encode(tree):
    value = tree.rand()
    assert (tree.encode(tree.to_numpy(value)) == value).all()
    assert (tree.encode(value) == value).all()
    dense = torch.stack([Composite(a=Categorical(2)), Composite(a=Categorical(3), b=Unbounded(1))])
    lazy = Composite(x=dense)["x"]
    with pytest.raises(SpecError, match="give one per part"):
        lazy.encode([{"a": 1}])
    keyed = StackedComposite(Composite(a=Categorical(2)), Composite(a=Categorical(3)))
    assert keyed.encode({"a": [1, 2]})["a"].tolist() == [1, 2]
    assert keyed.encode({"a": torch.tensor([1, 2])})["a"].tolist() == [1, 2]
    with pytest.raises(SpecError, match="not in the spec"):
        keyed.to_numpy(TensorDict(a=torch.tensor([9, 9]), batch_size=[2]), safe=True)


def test_lazy_trees_change(tree):
    tree.set("q", Unbounded((2, 1)))
    assert tree[0]["q"] == Unbounded((1,))
    assert tree["q"] == Unbounded((2, 1))
    tree.set("n", None)
    assert tree["n"] is None
    assert tree.pop("q") == Unbounded((2, 1))
    assert "q" not in tree[0]
    with pytest.raises(SpecError, match="does not start with"):
        tree.set("q", Unbounded((3,)))
    tree.lock_()
    assert tree.is_locked
    with pytest.raises(SpecError, match=r"`unlock_\(\)`"):
        tree.set("q", Unbounded((2, 1)))
    tree.unlock_().set("q", Unbounded((2, 1)))
    assert tree.empty().is_empty()


def test_lazy_trees_view(tree):
    wide = tree.expand(3, 2)
    assert (wide.shape, wide.dim) == ((3, 2), 1)
    assert wide.is_in(wide.rand())
    assert wide[0] == tree
    assert wide[:, 0] == tree[0].expand(3)
    assert tree.unsqueeze(0).squeeze(0) == tree
    assert tree.clone() == tree
    assert tree.clone().set("q", Unbounded((2, 1))) != tree
    assert tree.to("meta").device == torch.device("meta")
    assert tree.to("meta").clear_device_().device is None
    assert tree.to(None) is tree
    assert tree[..., 1] == tree[1]
    with pytest.raises(SpecError, match="pick at least one"):
        tree[2:]
    with pytest.raises(SpecError, match="work on the parts"):
        tree[torch.zeros(2, 2, dtype=torch.int64)]


def test_lazy_specs_live_in_composites(tree, ragged):
    spec = Composite(agents=tree, ragged=ragged, shape=(2,))
    assert spec.is_in(spec.rand())
    assert not spec.is_in(spec.rand().exclude("agents"))
    assert spec["agents", "a"].shape == (2, -1)
    assert Composite(agents=tree).rand()["agents"].batch_size == (2,)
    assert spec.expand(3, 2)["ragged"].shape == (3, 2, -1)
    spec.memoize_encode()
    spec.erase_memoize_cache()


def test_mixed_kinds_under_one_key():
    spec = torch.stack([Composite(a=Unbounded((2,))), Composite(a=Categorical(3, (2,)))])
    assert spec["a"].dtype is None
    assert spec["a"].domain is None
    assert spec.is_in(spec.rand())


def test_repr(tree, sizes):
    assert repr(tree).startswith("StackedComposite(\n    0: Composite(")
    assert repr(sizes).startswith("Stacked(shape=[2], dim=0, specs=[Categorical")
