import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tensordict import TensorDict, tensorclass

from rl.core.errors import MissingKeyError, ShapeError, SpecError
from rl.core.specs import Binary, Bounded, Categorical, Composite, NonTensor, OneHot, Unbounded


@pytest.fixture
def spec():
    return Composite(
        a=Bounded(0, 1, (3, 2)),
        b=Composite(c=OneHot(4, (3, 4)), d=Categorical(3, (3,)), shape=(3,)),
        shape=(3,),
    )


def test_defaults():
    empty = Composite()
    assert (empty.shape, empty.device, empty.domain, empty.dtype) == ((), None, "composite", None)
    assert empty.is_empty()
    assert len(empty) == 0
    assert bool(empty)
    assert empty.rand().is_empty()


def test_entries_come_from_mappings_pairs_keywords_and_nested_keys():
    leaf = Unbounded(3)
    nested = Composite(a=Composite(b=leaf))
    assert Composite({("a", "b"): leaf}) == nested
    assert Composite({"a": {"b": leaf}}) == nested
    assert Composite([(("a", "b"), leaf)]) == nested
    assert Composite(nested) == nested
    assert Composite({"x": leaf}, y=leaf) == Composite(x=leaf, y=leaf)
    with pytest.raises(SpecError, match="batch shape as `shape=`"):
        Composite({}, (3,))


def test_a_composite_as_source_gives_shape_and_device(spec):
    assert Composite(spec).shape == (3,)


def test_leaf_shapes_start_with_the_batch_shape():
    with pytest.raises(SpecError, match=r"`a` has shape \[3\].*`spec.expand\(2, 3\)`"):
        Composite(a=Unbounded(3), shape=(2,))
    with pytest.raises(SpecError, match=r"`b` has shape \[\]"):
        Composite(b=Composite(a=Unbounded((2,))), shape=(2,))


def test_devices():
    assert Composite(a=Unbounded(3)).device is None
    assert Composite(a=Unbounded(3)).to("meta").device == torch.device("meta")
    assert Composite(a=Unbounded(3)).to("meta")["a"].device == torch.device("meta")
    with pytest.raises(SpecError, match=r'`a` is on cpu.*spec.to\("meta"\)'):
        Composite(a=Unbounded(3), device="meta")
    inner = Composite(a=Unbounded(3))
    outer = Composite(inner=inner, device="cpu")
    assert outer["inner"].device == torch.device("cpu")
    assert inner.device is None
    assert outer.clear_device_().rand().device is None
    assert outer["inner"].device is None
    assert Composite(a=Unbounded(3), device="cpu").rand().device == torch.device("cpu")


def test_only_specs_are_entries():
    with pytest.raises(SpecError, match=r"`a` is a int, expected a spec: wrap"):
        Composite(a=3)


def test_keys_items_and_values(spec):
    assert list(spec.keys()) == ["a", "b"] == list(spec)
    assert list(spec.keys(True)) == ["a", "b", ("b", "c"), ("b", "d")]
    assert list(spec.keys(True, True)) == ["a", ("b", "c"), ("b", "d")]
    assert list(spec.keys(False, True)) == ["a"]
    assert dict(spec.items(True, True))["b", "c"] == OneHot(4, (3, 4))
    assert len(spec.values(True, True)) == 3
    assert ("b", "c") in spec.keys(True)
    stop = spec.keys(True, True, is_leaf=lambda cls: issubclass(cls, Composite))
    assert list(stop) == ["a", "b"]


def test_static_entries_can_be_listed():
    static = Composite(x=Unbounded(1), y=Composite(z=Unbounded(1)), step_mdp_static=True)
    spec = Composite(static=static, obs=Unbounded(1))
    assert list(spec.keys(True, True, step_mdp_static_only=True)) == [
        ("static", "x"),
        ("static", "y", "z"),
    ]
    assert list(spec.keys(step_mdp_static_only=True)) == ["static"]


def test_lookups(spec):
    assert spec["b", "c"] == spec["b"]["c"] == spec.get(("b", "c")) == OneHot(4, (3, 4))
    assert ("b", "c") in spec
    assert "c" not in spec
    assert ("a", "c") not in spec
    assert spec.get("z", 3) == 3
    with pytest.raises(MissingKeyError, match=r"`observatio` .*Did you mean `observation`"):
        Composite(observation=Unbounded(1))["observatio"]
    with pytest.raises(MissingKeyError, match=r"`b.x` .*Did you mean `b"):
        spec["b", "x"]


def test_set_pop_update_and_delete(spec):
    spec["b", "e", "f"] = Unbounded((3, 1))
    assert spec["b", "e"].shape == (3,)
    assert spec.set("g", {"h": Binary(1, (3, 1))}) is spec
    assert spec["g", "h"] == Binary(1, (3, 1))
    assert spec.pop(("g", "h")) == Binary(1, (3, 1))
    assert spec.pop("zzz", None) is None
    with pytest.raises(MissingKeyError, match="`zzz` is not in"):
        spec.pop("zzz")
    del spec["b", "e"]
    with pytest.raises(MissingKeyError, match="`zzz` is not in"):
        del spec["zzz"]
    spec.update({"b": {"d": Unbounded((3,))}, "n": None})
    assert spec["b", "c"] == OneHot(4, (3, 4))
    assert spec["b", "d"] == Unbounded((3,))
    assert spec["n"] is None


def test_none_entries_are_kept_and_skipped():
    spec = Composite(a=None, b=Unbounded(1))
    assert list(spec.keys()) == ["a", "b"]
    assert list(spec.rand().keys()) == ["b"]
    assert spec.is_in(TensorDict(b=torch.zeros(1)))
    assert spec.unsqueeze(0)["a"] is None
    assert spec.encode({"a": torch.ones(1), "b": 1.0})["a"].item() == 1


def test_separates_moves_entries(spec):
    moved = spec.separates("a", ("b", "c"), "none")
    assert sorted(moved.keys(True, True), key=str) == [("b", "c"), "a"]
    assert moved.shape == (3,)
    assert list(spec.keys(True, True)) == [("b", "d")]


def test_locks(spec):
    assert spec.lock_() is spec
    assert spec.is_locked
    assert spec.locked
    assert spec["b"].is_locked
    with pytest.raises(SpecError, match=r"call `unlock_\(\)`"):
        spec.set("x", Unbounded((3,)))
    with pytest.raises(SpecError, match=r"call `unlock_\(\)`"):
        spec["b", "x"] = Unbounded((3,))
    with pytest.raises(SpecError, match=r"call `unlock_\(\)`"):
        spec.pop("a")
    assert not spec.clone().is_locked
    assert not spec.clone()["b"].is_locked
    assert not spec.expand(2, 3)["b"].is_locked
    spec.unlock_(recurse=False)
    assert spec["b"].is_locked
    spec.unlock_().set("x", Unbounded((3,)))


def test_values_are_trees(spec):
    for value in (spec.rand(), spec.zero(), spec.one(), spec.sample(), spec.zeros(), spec.ones()):
        assert value.batch_size == (3,)
        assert value["b"].batch_size == (3,)
        assert value["b", "c"].shape == (3, 4)
    assert spec.rand((2,)).batch_size == (2, 3)
    assert spec.is_in(spec.rand((2,)))
    assert spec.one()["a"].eq(1).all()


def test_unknown_batch_sizes_are_drawn_as_one():
    spec = Composite(a=Unbounded((-1, 2)), shape=(-1,))
    assert spec.rand().batch_size == (1,)
    assert spec.is_in(TensorDict(a=torch.zeros(5, 2), batch_size=[5]))
    assert Composite(a=Unbounded((4, 2)), shape=(4,)).make_neg_dim(0) == spec


def test_is_in_and_assert_is_in(spec):
    assert spec.is_in(spec.rand().set("extra", torch.zeros(3)))
    assert spec.is_in({"a": torch.zeros(3, 2), "b": spec["b"].rand()})
    assert not spec.is_in(spec.rand().exclude("a"))
    assert not spec.is_in(torch.zeros(3))
    spec.assert_is_in(spec.rand())
    with pytest.raises(MissingKeyError, match="`a` is in the spec and not in the data"):
        spec.assert_is_in(spec.rand().exclude("a"))
    with pytest.raises(SpecError, match=r"In `b`: In `c`: The value is not in the spec"):
        spec.assert_is_in(spec.rand().set(("b", "c"), torch.ones(3, 4, dtype=torch.bool)))


def test_type_check(spec):
    spec.type_check(spec.rand())
    bad = spec.rand().set(("b", "d"), torch.zeros(3))
    with pytest.raises(SpecError, match=r"`d` has dtype torch\.float32"):
        spec.type_check(bad)
    spec.type_check(bad, "a")
    spec.type_check(TensorDict(batch_size=[3]))


def test_project_keeps_other_keys_and_the_input(spec):
    data = TensorDict(
        a=torch.full((3, 2), 7.0),
        b=TensorDict(c=torch.rand(3, 4), d=torch.full((3,), 9), batch_size=[3]),
        other=torch.ones(3),
        batch_size=[3],
    )
    out = spec.project(data)
    assert spec.is_in(out)
    assert out["other"].tolist() == [1, 1, 1]
    assert data["a"].eq(7).all()
    assert data["b", "c"].dtype == torch.float32
    assert (spec.project(out) == out).all()
    with pytest.raises(ShapeError, match="In `a`"):
        spec.project(TensorDict(a=torch.zeros(3, 5), batch_size=[3]))


@given(st.integers(1, 3), st.integers(0, 2**31))
def test_encode_and_to_numpy_are_inverse(batch, seed):
    torch.manual_seed(seed)
    spec = Composite(
        a=Bounded(0, 1, (3, 2)), b=Composite(c=OneHot(4, (3, 4)), shape=(3,)), shape=(3,)
    )
    for value in (spec.rand(), spec.rand((batch,))):
        back = spec.encode(spec.to_numpy(value))
        assert back.batch_size == value.batch_size
        assert (back == value).all()


def test_encode_names_the_key(spec):
    with pytest.raises(MissingKeyError, match="`q` is not in the composite spec"):
        spec.encode({"q": 1})
    with pytest.raises(ShapeError, match="In `b`: In `d`: The value to encode"):
        spec.encode({"b": {"d": [1, 2]}})
    with pytest.raises(SpecError, match="not in the spec"):
        spec.to_numpy(spec.rand().set("a", torch.full((3, 2), 7.0)), safe=True)


def test_memoize_reaches_the_leaves():
    spec = Composite(a=Composite(b=Categorical(3)))
    spec.memoize_encode()
    assert spec.encode({"a": {"b": 2}})["a", "b"].item() == 2
    assert spec["a", "b"]._memo
    spec.erase_memoize_cache()
    assert not spec["a", "b"]._memo


def test_counting():
    spec = Composite(a=OneHot(2), b=Composite(c=Categorical(3)))
    assert spec.cardinality() == 6
    every = spec.enumerate()
    assert every.batch_size == (6,)
    assert every["b", "c"].tolist() == [0, 1, 2, 0, 1, 2]
    assert spec.is_in(every)
    assert Composite(a=OneHot(2, (3, 2)), shape=(3,)).enumerate().batch_size == (2, 3)
    assert Composite(a=Bounded(0, 1, (1,))).cardinality() == math.inf
    assert Composite().enumerate().batch_size == (1,)


def test_shape_operations_act_on_the_batch(spec):
    cases = [
        (spec[0], ()),
        (spec[..., 0], ()),
        (spec[1:], (2,)),
        (spec[:, None], (3, 1)),
        (spec[[0, 2]], (2,)),
        (spec[torch.tensor([True, False, True])], (2,)),
        (spec.expand(4, 3), (4, 3)),
        (spec.expand(4, -1), (4, 3)),
        (spec.unsqueeze(0), (1, 3)),
        (spec.unsqueeze(-1), (3, 1)),
        (spec.reshape(1, 3), (1, 3)),
        (spec.view(3, 1), (3, 1)),
        (spec.unflatten(0, (1, 3)), (1, 3)),
        (spec.unsqueeze(0).flatten(0, 1), (3,)),
        (torch.unsqueeze(spec, 0), (1, 3)),
        (torch.index_select(spec, 0, torch.tensor([1, 1])), (2,)),
    ]
    for view, shape in cases:
        assert view.shape == view["b"].shape == view.batch_size == shape
        assert view["a"].shape == (*shape, 2)
        assert view["b", "c"].shape == (*shape, 4)
        assert view.is_in(view.rand())
    assert spec.unsqueeze(0).squeeze() == spec
    assert spec.squeeze(0) is spec
    assert spec.unbind(0)[1] == spec[1]
    with pytest.raises(ShapeError, match=r"give one of -2\.\.1"):
        spec.unsqueeze(4)
    with pytest.raises(ShapeError, match="no such view"):
        spec.expand(4)


def test_squeeze_leaves_trailing_ones_alone():
    spec = Composite(done=Binary(1, (1, 3, 1)), shape=(1, 3))
    assert spec.squeeze()["done"].shape == (3, 1)


@given(st.integers(1, 4), st.integers(0, 3))
def test_expanding_and_indexing_gives_the_spec_back(n, i):
    spec = Composite(a=Bounded(0, 1, (2,)), b=Composite(c=OneHot(4)))
    assert spec.expand(n)[i % n] == spec
    assert torch.stack([spec] * n).unbind(0) == (spec,) * n


def test_names_follow():
    spec = Composite(a=Unbounded((3, 2)), shape=(3,), names=["x"])
    assert spec.rand().names == ["x"]
    assert spec.rand((2,)).names == [None, "x"]
    assert spec.unsqueeze(0).names == [None, "x"]
    assert spec.expand(2, 3).names == [None, "x"]
    assert spec[0].names == []
    assert spec[1:].names == ["x"]
    assert spec.unsqueeze(0).squeeze(0).names == ["x"]
    assert spec.unflatten(0, (1, 3)).names == [None, None]
    assert Composite(shape=(3, 4)).refine_names(..., "time").names == [None, "time"]
    assert Composite(shape=(3,)).names == [None]
    with pytest.raises(SpecError, match=r"one name \(or None\) per dimension"):
        Composite(shape=(3,), names=["a", "b"])


def test_data_cls_builds_instances():
    @tensorclass
    class Pair:
        x: torch.Tensor

    spec = Composite(x=Unbounded((3, 2)), shape=(3,), data_cls=Pair)
    for value in (spec.rand(), spec.zero(), spec.encode({"x": torch.ones(3, 2)})):
        assert isinstance(value, Pair)
        assert value.batch_size == (3,)
    assert spec.is_in(spec.rand())
    assert spec.unsqueeze(0).data_cls is Pair
    assert "data_cls=Pair" in repr(spec)
    assert isinstance(Composite(pair=spec).rand()["pair"], Pair)


def test_equality_counts_everything(spec):
    assert spec == spec.clone()
    assert spec != Composite(a=Bounded(0, 1, (3, 2)))
    assert Composite(a=Unbounded((3,)), shape=(3,)) != Composite(a=Unbounded((3,)))
    assert Composite(step_mdp_static=True) != Composite()
    assert Composite(a=Unbounded(1)) != Composite(b=Unbounded(1))


def test_clones_can_change_apart(spec):
    copy = spec.clone()
    copy["b"].pop("c")
    copy["a"].space.low.fill_(-3)
    assert ("b", "c") in spec
    assert spec["a"].low.eq(0).all()


def test_dtype_is_the_one_all_leaves_share():
    assert Composite(a=Unbounded(1), b=Composite(c=Unbounded(2))).dtype == torch.float32
    assert Composite(a=Unbounded(1), b=Categorical(2)).dtype is None
    assert Composite(a=Unbounded(1)).to(torch.float64).dtype == torch.float64


def test_empty_keeps_the_frame():
    spec = Composite({"b": {}}, shape=(3,))
    assert not spec.is_empty()
    assert spec.is_empty(recurse=True)
    assert spec.empty().shape == (3,)


def test_repr_shows_the_tree():
    text = repr(Composite(a=Composite(b=NonTensor((), example_data="x"))))
    assert text == (
        "Composite(\n"
        "    a: Composite(\n"
        "        b: NonTensor(shape=[], device=None, example_data='x'),\n"
        "        device=None, shape=[]),\n"
        "    device=None, shape=[])"
    )
