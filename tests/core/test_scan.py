"""The scan against a loop, over lengths around every folding boundary."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rl.core.scan import linear_recurrence


def loop(a, b):
    """y[t] = a[t] * y[t + 1] + b[t] along dim 0."""
    y = torch.zeros_like(b[0])
    rows = []
    for t in reversed(range(b.shape[0])):
        y = a[t] * y + b[t]
        rows.append(y)
    return torch.stack(rows[::-1])


def test_by_hand():
    a = torch.tensor([2.0, 3.0, 5.0])
    b = torch.tensor([1.0, 10.0, 100.0])
    # y2 = 100, y1 = 3 * 100 + 10, y0 = 2 * 310 + 1
    assert linear_recurrence(a, b, dim=0).tolist() == [621.0, 310.0, 100.0]


def test_forward_direction_by_hand():
    a = torch.tensor([2.0, 3.0, 5.0])
    b = torch.tensor([1.0, 10.0, 100.0])
    # y0 = 1, y1 = 3 * 1 + 10, y2 = 5 * 13 + 100
    assert linear_recurrence(a, b, dim=0, reverse=False).tolist() == [1.0, 13.0, 165.0]


@settings(deadline=None, max_examples=60)
@given(length=st.integers(1, 150), rows=st.integers(1, 3), seed=st.integers(0, 99))
def test_equals_the_loop(length, rows, seed):
    generator = torch.Generator().manual_seed(seed)
    a = torch.rand(length, rows, generator=generator, dtype=torch.float64)
    a[torch.rand(length, rows, generator=generator) < 0.2] = 0.0
    b = torch.randn(length, rows, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(linear_recurrence(a, b, dim=0), loop(a, b))


@pytest.mark.parametrize("dim", [0, 1, 2, -1, -2, -3])
def test_any_dimension(dim):
    a, b = torch.rand(2, 3, 37, 5, dtype=torch.float64).unbind(0)
    result = linear_recurrence(a, b, dim=dim)
    expected = loop(a.movedim(dim, 0), b.movedim(dim, 0)).movedim(0, dim)
    torch.testing.assert_close(result, expected)
    assert result.is_contiguous()


def test_empty_time():
    assert linear_recurrence(torch.ones(2, 0, 1), torch.ones(2, 0, 1)).shape == (2, 0, 1)


def test_a_zero_cuts():
    a = torch.ones(64)
    a[20] = 0.0
    y = linear_recurrence(a, torch.ones(64), dim=0)
    assert y[20] == 1.0
    assert y[0] == 21.0


@pytest.mark.parametrize("length", [5, 40])
def test_gradients(length):
    a = torch.rand(length, 2, dtype=torch.float64, requires_grad=True)
    b = torch.randn(length, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a, b: linear_recurrence(a, b, dim=0), (a, b))


def test_vmap():
    a, b = torch.rand(2, 4, 33, 3, dtype=torch.float64).unbind(0)
    mapped = torch.vmap(lambda a, b: linear_recurrence(a, b, dim=0))(a, b)
    torch.testing.assert_close(mapped, linear_recurrence(a, b, dim=1))


def test_rows_do_not_mix():
    a, b = torch.ones(33, 2), torch.ones(33, 2)
    b[:, 1] = float("nan")
    assert linear_recurrence(a, b, dim=0)[0, 0] == 33.0
