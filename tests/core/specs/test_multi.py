import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rl.core.errors import ShapeError, SpecError
from rl.core.specs import Categorical, MultiCategorical, MultiOneHot

MASK = torch.tensor([True, False, True, False, True])


def test_categorical_defaults():
    spec = MultiCategorical([2, 3])
    assert (spec.shape, spec.dtype, spec.domain) == ((2,), torch.int64, "discrete")
    assert [box.n for box in spec.space] == [2, 3]
    assert spec.nvec.tolist() == [2, 3]
    assert MultiCategorical([2, 3], (4, 2)).nvec.tolist() == [[2, 3]] * 4
    assert MultiCategorical([[2, 3], [4, 5]]).shape == (2, 2)


def test_a_lone_variable_loses_its_dimension_unless_told():
    assert MultiCategorical([4]).shape == MultiCategorical([4]).rand().shape == ()
    assert MultiCategorical([4], remove_singleton=False).rand().shape == (1,)
    lone = MultiCategorical([4])
    assert lone.enumerate().tolist() == [0, 1, 2, 3]
    assert lone.to_one_hot(torch.tensor(2)).tolist() == [False, False, True, False]
    assert MultiCategorical([2], mask=torch.tensor([False, True])).rand().tolist() == 1


@pytest.mark.parametrize(
    ("build", "fix"),
    [
        (lambda: MultiCategorical([2, 0]), "give sizes >= 1"),
        (lambda: MultiCategorical([2, 3], (4, 3)), "one entry per variable"),
        (lambda: MultiCategorical([2, 3], mask=torch.ones(4)), "one flag per value"),
        (lambda: MultiCategorical([[2, 3], [4, 5]], mask=torch.ones(5)), r"index the spec first"),
        (lambda: MultiCategorical([[2, 3], [4, 5]]).to_one_hot_spec(), r"index the spec first"),
        (lambda: MultiOneHot([]), "give sizes >= 1"),
        (lambda: MultiOneHot([2, 3], (4,)), r"give shape=\(5,\)"),
    ],
)
def test_ill_formed_specs_are_refused_with_the_fix(build, fix):
    with pytest.raises(SpecError, match=fix):
        build()


@pytest.mark.parametrize(
    "spec",
    [
        MultiCategorical([2, 3]),
        MultiCategorical([2, 3], (4, 2)),
        MultiCategorical([[2, 3], [4, 5]]),
        MultiCategorical([2, 3], mask=MASK, dtype=torch.int32),
        MultiCategorical([2, 3], (4, 2), mask=MASK),
        MultiOneHot([2, 3]),
        MultiOneHot([2, 3], (4, 5), dtype=torch.int64),
        MultiOneHot([2, 3], mask=MASK),
    ],
    ids=str,
)
def test_draws_projections_and_clones_are_in(spec):
    draws = spec.rand((30,))
    assert spec.is_in(draws)
    assert spec.is_in(spec.rand())
    assert draws.dtype == spec.dtype
    noise = torch.randn(7, *spec.shape) * 4
    once = spec.project(noise)
    assert spec.is_in(once)
    assert torch.equal(spec.project(once), once)
    assert spec.clone() == spec
    assert spec.unsqueeze(0).is_in(spec.unsqueeze(0).rand())


def test_categorical_draws_cover_and_honour_the_mask():
    torch.manual_seed(0)
    draws = MultiCategorical([2, 3]).rand((300,))
    assert draws[:, 0].unique().tolist() == [0, 1]
    assert draws[:, 1].unique().tolist() == [0, 1, 2]
    masked = MultiCategorical([2, 3], mask=MASK).rand((100,))
    assert masked[:, 0].unique().tolist() == [0]
    assert masked[:, 1].unique().tolist() == [0, 2]


def test_is_in():
    spec = MultiCategorical([2, 3])
    assert spec.is_in(torch.tensor([1, 2]))
    assert not spec.is_in(torch.tensor([2, 2]))
    assert not spec.is_in(torch.tensor([0, -1]))
    assert not MultiCategorical([2, 3], mask=MASK).is_in(torch.tensor([0, 1]))
    hot = MultiOneHot([2, 3])
    assert hot.is_in(torch.tensor([False, True, False, False, True]))
    assert not hot.is_in(torch.ones(5, dtype=torch.bool))
    assert not MultiOneHot([2, 3], mask=MASK).is_in(hot.encode([0, 1]))


def test_project():
    assert MultiCategorical([2, 3]).project(torch.tensor([4, -3])).tolist() == [1, 0]
    assert MultiCategorical([2, 3], mask=MASK).project(torch.tensor([1, 1])).tolist() == [0, 0]
    hot = MultiOneHot([2, 3]).project(torch.tensor([0.1, 0.2, 0.5, 0.9, 0.1]))
    assert hot.tolist() == [False, True, False, True, False]


def test_cardinality_and_enumeration():
    pairs = [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]
    assert MultiCategorical([2, 3]).cardinality() == MultiOneHot([2, 3]).cardinality() == 6
    assert MultiCategorical([2, 3]).enumerate().tolist() == pairs
    assert MultiCategorical([2, 3], (4, 2)).enumerate().shape == (6, 4, 2)
    assert MultiCategorical([2, 3], mask=MASK).enumerate(use_mask=True).tolist() == [[0, 0], [0, 2]]
    ragged = MultiCategorical([[1, 2], [2, 1]])
    assert ragged.cardinality() == 4
    assert ragged.enumerate().shape == (4, 2, 2)
    hot = MultiOneHot([2, 3])
    assert hot.to_categorical(hot.enumerate()).tolist() == pairs


@given(st.integers(0, 1), st.integers(0, 2))
def test_encodings_round_trip(first, second):
    spec, hot_spec = MultiCategorical([2, 3]), MultiOneHot([2, 3])
    value = spec.encode([first, second])
    hot = spec.to_one_hot(value)
    assert torch.equal(hot, hot_spec.encode([first, second]))
    assert torch.equal(hot_spec.encode(hot), hot)
    assert hot_spec.to_numpy(hot).tolist() == spec.to_numpy(value).tolist() == [first, second]
    assert torch.equal(hot_spec.to_categorical(hot), value)


def test_conversions_of_specs_keep_masks():
    spec = MultiCategorical([2, 3], (4, 2), mask=MASK)
    assert spec.to_one_hot_spec() == MultiOneHot([2, 3], (4, 5), mask=MASK)
    assert spec.to_one_hot_spec().to_categorical_spec() == spec
    assert spec.to_categorical_spec() == spec
    value = torch.tensor([[0, 1]] * 4)
    for convert in (spec.to_categorical, spec.to_one_hot):
        with pytest.raises(SpecError, match="not in the spec"):
            convert(value, safe=True)


def test_one_hot_encode_refuses_other_counts():
    with pytest.raises(SpecError, match="give one per variable"):
        MultiOneHot([2, 3]).encode([1, 2, 0])
    with pytest.raises(SpecError, match=r"give integers in 0\.\.1"):
        MultiOneHot([2, 3]).encode([2, 2])
    with pytest.raises(ShapeError, match="reshape"):
        MultiOneHot([2, 3]).encode(torch.ones(4, dtype=torch.bool))


def test_what_is_one_hot_already_stays():
    spec = MultiOneHot([2, 3])
    value = spec.encode([1, 2])
    assert torch.equal(spec.to_one_hot(value), value)
    assert spec.to_one_hot_spec() == spec
    for convert in (spec.to_one_hot, spec.to_categorical, spec.to_numpy):
        with pytest.raises(SpecError, match="not in the spec"):
            convert(torch.ones(5, dtype=torch.bool), safe=True)


def test_one_hot_index_picks_one_entry_per_block():
    spec = MultiOneHot([2, 3])
    assert spec.index(spec.encode([1, 2]), torch.arange(5)).tolist() == [1, 4]


def test_views():
    spec = MultiCategorical([2, 3], mask=MASK)
    assert spec[0] == Categorical(2, mask=MASK[:2])
    assert spec[1] == Categorical(3, mask=MASK[2:])
    assert spec.expand(4, 2)[1] == spec
    with pytest.raises(SpecError, match="must stay as it is"):
        spec[:1]
    assert [s.n for s in MultiCategorical([2, 3]).unbind(0)] == [2, 3]
    with pytest.raises(SpecError, match="must stay as it is"):
        MultiOneHot([2, 3])[0]
    assert MultiOneHot([2, 3], (4, 5), mask=MASK)[0] == MultiOneHot([2, 3], mask=MASK)
    for moved in (spec.to("meta"), MultiOneHot([2, 3], mask=MASK).to("meta")):
        assert moved.mask.device.type == "meta"
    assert MultiOneHot([2, 3]).to(torch.float32).rand().dtype == torch.float32
    assert MultiCategorical([2, 3]) != MultiCategorical([2, 4])
