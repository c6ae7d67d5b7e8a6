import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rl.core.errors import ShapeError, SpecError
from rl.core.specs import OneHot

MASK = torch.tensor([True, False, True, False])


def hot(*rows, n=4):
    return torch.eye(n, dtype=torch.bool)[list(rows)]


def test_defaults():
    spec = OneHot(4)
    assert (spec.n, spec.space.n, spec.shape, spec.dtype) == (4, 4, (4,), torch.bool)
    assert spec.zero().tolist() == [False] * 4
    assert spec.one().tolist() == [True] * 4
    assert OneHot(4, 4).shape == (4,)


def test_the_shape_ends_with_n():
    with pytest.raises(SpecError, match=r"give shape=\(2, 4\)"):
        OneHot(4, (2, 5))
    with pytest.raises(SpecError, match="give n >= 1"):
        OneHot(0)


@pytest.mark.parametrize(
    "spec",
    [
        OneHot(2),
        OneHot(4, (3, 4)),
        OneHot(300),
        OneHot(300, (2, 300), mask=torch.arange(300) % 2 == 0),
        OneHot(4, dtype=torch.float32),
        OneHot(4, mask=MASK),
        OneHot(2, (-1, 2)),
    ],
    ids=str,
)
def test_draws_are_in(spec):
    assert spec.is_in(spec.rand())
    draws = spec.rand((6,))
    assert spec.is_in(draws)
    assert draws.dtype == spec.dtype
    assert draws.shape == (6, *[1 if n == -1 else n for n in spec.shape])


def test_draws_cover_the_values_and_are_fresh():
    spec = OneHot(3)
    assert spec.rand((200,)).any(0).all()
    spec.rand().fill_(True)  # a draw shares nothing with the spec
    assert spec.is_in(spec.rand((50,)))


def test_is_in_wants_a_single_allowed_one():
    spec = OneHot(4)
    assert spec.is_in(hot(0, 3))
    assert not spec.is_in(torch.ones(4, dtype=torch.bool))
    assert not spec.is_in(torch.zeros(4, dtype=torch.bool))
    assert not spec.is_in(torch.tensor([1.0, 0, 0, 0]))
    assert not OneHot(2, dtype=torch.float32).is_in(torch.tensor([0.5, 0.5]))
    assert not OneHot(4, mask=MASK).is_in(hot(1)[0])
    assert OneHot(4, mask=MASK).is_in(hot(2)[0])


def test_project_takes_the_largest_allowed():
    spec = OneHot(4)
    assert torch.equal(spec.project(torch.tensor([0.1, 0.2, 0.9, 0.3])), hot(2)[0])
    assert torch.equal(spec.project(torch.ones(4, dtype=torch.bool)), hot(0)[0])
    masked = OneHot(4, mask=MASK)
    assert torch.equal(masked.project(torch.tensor([0.1, 9.0, 0.9, 0.3])), hot(2)[0])
    assert torch.equal(masked.project(hot(1)[0]), hot(0)[0])
    assert torch.equal(masked.project(torch.full((4,), -torch.inf)), hot(0)[0])
    with pytest.raises(SpecError, match="allow one"):
        OneHot(2, mask=torch.zeros(2, dtype=torch.bool)).project(torch.ones(2))


@given(
    st.lists(st.floats(allow_nan=True, width=32), min_size=4, max_size=4),
    st.lists(st.booleans(), min_size=4, max_size=4).filter(any),
)
def test_projection_is_in_and_idempotent(values, mask):
    spec = OneHot(4, mask=torch.tensor(mask))
    once = spec.project(torch.tensor(values))
    assert spec.is_in(once)
    assert torch.equal(spec.project(once), once)


def test_encode_takes_integers_and_vectors():
    spec = OneHot(4)
    assert torch.equal(spec.encode(2), hot(2)[0])
    assert torch.equal(spec.encode(np.int64(2)), hot(2)[0])
    assert torch.equal(spec.encode([1, 2]), hot(1, 2))
    assert torch.equal(spec.encode(hot(3)[0]), hot(3)[0])
    assert torch.equal(spec.encode(np.array([0.0, 1, 0, 0])), hot(1)[0])
    assert OneHot(4, (2, 4)).encode(1).tolist() == hot(1, 1).tolist()


def test_encode_refuses_what_has_no_code():
    with pytest.raises(SpecError, match=r"give integers in 0\.\.3"):
        OneHot(4).encode(7)
    with pytest.raises(SpecError, match=r"give integers in 0\.\.3"):
        OneHot(4).encode([0, -1])
    with pytest.raises(ShapeError, match="reshape"):
        OneHot(4).encode(torch.ones(3, dtype=torch.bool))
    with pytest.raises(ShapeError, match="reshape"):
        OneHot(4, (2, 4)).encode([1, 2, 3])


@given(st.lists(st.integers(0, 3), min_size=1, max_size=5))
def test_encode_and_to_numpy_are_inverse(values):
    spec = OneHot(4)
    assert spec.to_numpy(spec.encode(values)).tolist() == values
    assert spec.to_numpy(spec.encode(values[0])) == values[0]
    assert torch.equal(spec.to_categorical(spec.encode(values)), torch.tensor(values))


def test_register_codes_values_in_order_of_appearance():
    spec = OneHot(2, use_register=True)
    assert spec.encode("left").tolist() == [True, False]
    assert spec.encode("right").tolist() == [False, True]
    assert spec.encode("left").tolist() == [True, False]
    assert spec.to_numpy(spec.encode("right")) == "right"
    assert spec.to_numpy(spec.encode(["right", "left"])) == ["right", "left"]
    with pytest.raises(SpecError, match="larger n"):
        spec.encode("up")
    copy = OneHot(2, use_register=True)
    copy.clone().encode("x")
    assert copy.to_numpy(copy.encode("y")) == "y"


def test_enumeration_and_cardinality():
    assert OneHot(4, (2, 4)).cardinality() == 4
    assert torch.equal(OneHot(4).enumerate(), hot(0, 1, 2, 3))
    assert OneHot(3, (2, 3)).enumerate().shape == (3, 2, 3)
    assert torch.equal(OneHot(4, mask=MASK).enumerate(use_mask=True), hot(0, 2))


def test_index_picks_the_entry_under_the_one():
    spec = OneHot(3)
    values = torch.tensor([5, 6, 7])
    assert spec.index(spec.encode(1), values).tolist() == [6]
    assert spec.index(spec.encode([0, 2]), values).tolist() == [[5], [7]]


def test_conversions_of_what_is_one_hot_already():
    spec = OneHot(4)
    value = spec.encode(1)
    assert torch.equal(spec.to_one_hot(value), value)
    assert spec.to_one_hot_spec() == spec
    for convert in (spec.to_one_hot, spec.to_categorical, spec.to_numpy):
        with pytest.raises(SpecError, match="not in the spec"):
            convert(torch.ones(4, dtype=torch.bool), safe=True)


def test_views_keep_the_domain():
    spec = OneHot(3, (2, 3))
    assert spec[0] == OneHot(3)
    assert spec.unsqueeze(0).shape == (1, 2, 3)
    assert spec.expand(5, 2, 3).is_in(spec.expand(5, 2, 3).rand())
    for view in (
        lambda: spec.unsqueeze(-1),
        lambda: spec.reshape(6),
        lambda: spec[0, 1],
        lambda: spec[..., :2],
        lambda: spec.flatten(0, 1),
        lambda: torch.stack([OneHot(2)] * 2, -1),
        lambda: torch.stack([OneHot(2), OneHot(3)], -1),
    ):
        with pytest.raises(SpecError, match=r"to_categorical_spec"):
            view()


def test_mask_follows_views_devices_and_stacks():
    spec = OneHot(4, (2, 4), mask=torch.stack([MASK, ~MASK]))
    assert spec[1].mask.tolist() == (~MASK).tolist()
    assert spec.to("meta").mask.device.type == "meta"
    assert spec.clone() == spec
    assert spec != OneHot(4, (2, 4))
    spec.update_mask(None)
    assert spec == OneHot(4, (2, 4))
    stacked = torch.stack([OneHot(2, mask=torch.tensor([i == 0, i == 1])) for i in range(2)])
    assert torch.equal(stacked.rand(), torch.eye(2, dtype=torch.bool))


def test_to_another_dtype_changes_the_draws():
    assert OneHot(3).to(torch.int64).rand().dtype == torch.int64
