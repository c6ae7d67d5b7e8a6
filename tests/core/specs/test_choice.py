import math

import pytest
import torch
from tensordict import NonTensorData

from rl.core.errors import SpecError
from rl.core.specs import Binary, Bounded, Categorical, Choice

LOW, HIGH = Bounded(0, 1, (2,)), Bounded(3, 4, (2,))


def words(*items):
    return Choice([NonTensorData(item) for item in items])


def test_draws_come_from_every_choice():
    torch.manual_seed(0)
    spec = Choice([LOW, HIGH])
    draws = [spec.rand() for _ in range(40)]
    assert any(LOW.is_in(draw) for draw in draws)
    assert any(HIGH.is_in(draw) for draw in draws)
    assert all(spec.is_in(draw) for draw in draws)
    assert spec.rand((3,)).shape == (3, 2)
    assert (spec.shape, spec.dtype, spec.num_choices) == ((2,), torch.float32, 2)


def test_objects():
    torch.manual_seed(0)
    spec = words("a", "b")
    assert {spec.rand().data for _ in range(40)} == {"a", "b"}
    assert spec.rand((3,)).batch_size == (3,)
    assert spec.is_in(NonTensorData("a"))
    assert spec.is_in("b")
    assert not spec.is_in(NonTensorData("c"))
    assert spec.cardinality() == 2
    assert spec.enumerate().tolist() == ["a", "b"]
    assert spec.zero().data == spec.one().data == "a"
    assert spec.to_numpy(NonTensorData("a")) == "a"
    assert spec.encode("a") == "a"
    assert spec.expand(2).rand().batch_size == (2,)
    assert spec.clone() == spec != words("a", "c")
    with pytest.raises(SpecError, match="encode one"):
        spec.project(NonTensorData("c"))


def test_projection_goes_to_the_nearest_choice():
    spec = Choice([LOW, HIGH])
    assert spec.project(torch.tensor([8.0, 8.0])).tolist() == [4, 4]
    assert spec.project(torch.tensor([-1.0, 0.0])).tolist() == [0, 0]
    assert spec.project(torch.tensor([0.5, 0.5])).tolist() == [0.5, 0.5]


def test_counting():
    assert Choice([Categorical(2), Categorical(3)]).cardinality() == 5
    assert Choice([Categorical(2), Categorical(3)]).enumerate().tolist() == [0, 1, 0, 1, 2]
    assert Choice([LOW, HIGH]).cardinality() == math.inf


def test_conversions_views_and_devices():
    spec = Choice([LOW, HIGH])
    assert spec.encode([0.5, 0.5]).tolist() == spec.to_numpy(torch.tensor([0.5, 0.5])).tolist()
    assert spec[0].is_in(torch.tensor(3.5))
    assert spec.expand(4, 2).rand().shape == (4, 2)
    assert spec.to("meta").rand().device.type == "meta"
    assert spec.to(torch.float64).rand().dtype == torch.float64
    assert spec.clone() == spec
    with pytest.raises(SpecError, match="not in the spec"):
        spec.to_numpy(torch.tensor([0.5, 3.5]), safe=True)
    with pytest.raises(SpecError, match="cast it"):
        spec.type_check(torch.zeros(2, dtype=torch.int64))


@pytest.mark.parametrize(
    ("choices", "fix"),
    [
        ([], "give at least one"),
        (["a", "b"], r"NonTensorData\(object\)"),
        ([LOW, NonTensorData("a")], r"specs only"),
        ([LOW, Bounded(0, 1, (3,))], "choices that agree"),
        ([LOW, Binary(2)], "choices that agree"),
    ],
)
def test_choices_must_agree(choices, fix):
    with pytest.raises(SpecError, match=fix):
        Choice(choices)
