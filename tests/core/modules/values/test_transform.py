import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rl.core.errors import RLError
from rl.core.modules import (
    ComposeValueTransform,
    IdentityValueTransform,
    SignedHyperbolicValueTransform,
    SymLogValueTransform,
    ValueTransform,
    signed_hyperbolic,
    symlog,
)

TRANSFORMS = [
    IdentityValueTransform(),
    SymLogValueTransform(),
    SignedHyperbolicValueTransform(),
    SignedHyperbolicValueTransform(epsilon=0.1),
    ComposeValueTransform(SignedHyperbolicValueTransform(), SymLogValueTransform()),
]


@pytest.mark.parametrize("transform", TRANSFORMS, ids=repr)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=5))
def test_round_trip(transform, numbers):
    value = torch.tensor(numbers, dtype=torch.float64).unsqueeze(-1)
    there = transform(value)
    assert there.shape == value.shape
    torch.testing.assert_close(transform.inverse(there), value, rtol=1e-9, atol=1e-9)


def test_compose_applies_in_order():
    x = torch.tensor([50.0])
    first, second = SignedHyperbolicValueTransform(0.5), SymLogValueTransform()
    torch.testing.assert_close(
        ComposeValueTransform(first, second)(x), symlog(signed_hyperbolic(x, 0.5))
    )
    assert ComposeValueTransform(first, second)(x) != ComposeValueTransform(second, first)(x)


def test_abstract():
    with pytest.raises(TypeError, match="inverse"):
        type("Half", (ValueTransform,), {"forward": lambda self, value: value})()


def test_bad_input():
    with pytest.raises(RLError, match="pass at least one"):
        ComposeValueTransform()
    with pytest.raises(RLError, match="one by one"):
        ComposeValueTransform([SymLogValueTransform()])
    with pytest.raises(RLError, match="Use the default"):
        SignedHyperbolicValueTransform(epsilon=-1.0)
