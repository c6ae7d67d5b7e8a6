import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rl.core.errors import RLError
from rl.core.modules import signed_hyperbolic, signed_parabolic, symexp, symlog

PAIRS = [(symlog, symexp), (signed_hyperbolic, signed_parabolic)]
NUMBERS = st.floats(-1e6, 1e6, allow_nan=False)


def paper_parabolic(x, epsilon):
    """Proposition A.2 of Pohlen et al. 2018 as it is printed."""
    root = (math.sqrt(1 + 4 * epsilon * (abs(x) + 1 + epsilon)) - 1) / (2 * epsilon)
    return math.copysign(root**2 - 1, x)


def test_numbers():
    x = torch.tensor([-math.e + 1, 0.0, math.e**2 - 1])
    torch.testing.assert_close(symlog(x), torch.tensor([-1.0, 0.0, 2.0]))
    # sqrt(8 + 1) - 1 + 0.5 * 8 = 6
    eight = torch.tensor([-8.0, 8.0])
    torch.testing.assert_close(signed_hyperbolic(eight, 0.5), torch.tensor([-6.0, 6.0]))
    torch.testing.assert_close(signed_parabolic(torch.tensor([-6.0, 6.0]), 0.5), eight)


@given(NUMBERS)
def test_inverse_is_the_papers(x):
    mine = signed_parabolic(torch.tensor(x, dtype=torch.float64), 1e-2).item()
    assert mine == pytest.approx(paper_parabolic(x, 1e-2), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(("there", "back"), PAIRS)
@given(NUMBERS)
def test_round_trip(there, back, x):
    value = torch.tensor(x, dtype=torch.float64)
    torch.testing.assert_close(back(there(value)), value, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(there(-value), -there(value), rtol=0, atol=0)


@pytest.mark.parametrize(("there", "back"), PAIRS)
def test_float32_loses_nothing_near_zero(there, back):
    value = torch.logspace(-30, 4, 200)
    torch.testing.assert_close(back(there(value)), value, rtol=1e-5, atol=0)


@pytest.mark.parametrize(
    ("function", "slope"),
    [(symlog, 1.0), (symexp, 1.0), (signed_hyperbolic, 0.501), (signed_parabolic, 1 / 0.501)],
)
def test_derivative(function, slope):
    x = torch.tensor([0.0, -3.0, 3.0], dtype=torch.float64, requires_grad=True)
    function(x).sum().backward()
    assert x.grad[0].item() == pytest.approx(slope)
    ends = torch.tensor([3 - 1e-6, 3 + 1e-6], dtype=torch.float64)
    numeric = np.diff(function(ends).numpy())[0] / 2e-6
    assert x.grad[1:].tolist() == pytest.approx([numeric] * 2, rel=1e-5)


def test_vmap_and_half():
    x = torch.randn(3, 2)
    torch.testing.assert_close(torch.vmap(symlog)(x), symlog(x))
    assert signed_hyperbolic(x.bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize("function", [symlog, symexp, signed_hyperbolic, signed_parabolic])
def test_bad_input(function):
    with pytest.raises(RLError, match=r"call `\.float\(\)`"):
        function(torch.tensor([1]))


@pytest.mark.parametrize("function", [signed_hyperbolic, signed_parabolic])
def test_bad_epsilon(function):
    with pytest.raises(RLError, match="Use the default, 1e-3"):
        function(torch.ones(1), 0.0)
