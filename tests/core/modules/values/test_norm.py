import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rl.core.errors import RLError, ShapeError
from rl.core.modules import PopArtValueNorm, RunningValueNorm, ValueNorm

KINDS = [RunningValueNorm, PopArtValueNorm]


@given(st.integers(0, 10_000), st.lists(st.integers(0, 7), min_size=1, max_size=8))
def test_running_is_exact_for_any_split(seed, sizes):
    """Far from zero, where sums of squares would lose every digit of the variance."""
    rows = np.random.default_rng(seed).normal(1e6, 1e-2, (sum(sizes), 2))
    norm = RunningValueNorm(shape=2)
    for chunk in np.split(rows, np.cumsum(sizes)[:-1]):
        norm.update(torch.from_numpy(chunk))
    mean, variance = norm.moments()
    if len(rows) == 0:
        assert mean.tolist() == [0, 0]
        assert variance.tolist() == [1, 1]
        return
    np.testing.assert_allclose(mean, rows.mean(0), rtol=1e-15)
    np.testing.assert_allclose(variance, rows.var(0), rtol=1e-6, atol=1e-12)


def test_running_does_not_stall():
    norm = RunningValueNorm()
    norm.update(torch.zeros(2**25, 1))
    norm.update(torch.full((2**25, 1), 1.0))
    assert norm.moments()[0].item() == pytest.approx(0.5)


def test_popart_by_hand():
    # means 2 and 6, mean squares 5 and 36, each weighted 0.5 of what remains
    norm = PopArtValueNorm(beta=0.5)
    norm.update(torch.tensor([[1.0], [3.0]]))
    mean, variance = norm.moments()
    assert (mean.item(), variance.item()) == (2.0, 1.0)
    norm.update(torch.tensor([[6.0], [6.0]]))
    mean, variance = norm.moments()
    # (0.5 * 0.5 * 2 + 0.5 * 6) / 0.75, and the same of 5 and 36
    assert mean.item() == pytest.approx(3.5 / 0.75)
    assert variance.item() == pytest.approx(19.25 / 0.75 - (3.5 / 0.75) ** 2)


@pytest.mark.parametrize("kind", KINDS)
def test_normalize_and_back(kind):
    norm = kind(shape=(2, 3))
    before = torch.randn(4, 2, 3)
    torch.testing.assert_close(norm.normalize(before), before, rtol=1e-5, atol=0)
    targets = torch.randn(5, 7, 2, 3) * 4 + 9
    norm.update(targets)
    out = norm.normalize(targets)
    assert out.dtype == targets.dtype
    flat = out.reshape(-1, 2, 3)
    torch.testing.assert_close(flat.mean(0), torch.zeros(2, 3), atol=1e-4, rtol=0)
    torch.testing.assert_close(flat.std(0, correction=0), torch.ones(2, 3), atol=1e-4, rtol=0)
    torch.testing.assert_close(norm.denormalize(out), targets)
    torch.testing.assert_close(
        targets / norm.scale().float(),
        targets / targets.reshape(-1, 2, 3).std(0, correction=0),
        rtol=1e-4,
        atol=1e-4,
    )


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_the_value_and_not_the_statistics(kind):
    norm = kind()
    value = torch.tensor([[2.0], [4.0]], requires_grad=True)
    norm.update(value)
    norm.denormalize(value).sum().backward()
    torch.testing.assert_close(value.grad, torch.ones(2, 1), rtol=1e-4, atol=0)
    assert not norm.scale().requires_grad


@pytest.mark.parametrize("kind", KINDS)
def test_state_dict_resumes(kind):
    first, second = kind(), kind()
    first.update(torch.randn(5, 1))
    second.load_state_dict(first.state_dict())
    more = torch.randn(3, 1)
    first.update(more)
    second.update(more)
    assert torch.equal(first.normalize(more), second.normalize(more))


@pytest.mark.parametrize("kind", KINDS)
def test_bad_input(kind):
    with pytest.raises(ShapeError, match=r"end with \[1\].*unsqueeze\(-1\)"):
        kind().update(torch.zeros(5))
    with pytest.raises(RLError, match=r"call `\.float\(\)`"):
        kind().normalize(torch.ones(5, 1, dtype=torch.int64))
    with pytest.raises(RLError, match="Use the default, 1e-5"):
        kind(epsilon=0.0)


def test_bad_beta():
    with pytest.raises(RLError, match="weight of the past"):
        PopArtValueNorm(beta=1.0)
    with pytest.raises(TypeError, match="abstract"):
        ValueNorm()
