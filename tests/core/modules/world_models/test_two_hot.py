import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rl.core.errors import RLError, ShapeError
from rl.core.modules import SymExpTwoHot, symexp

DEFAULT = SymExpTwoHot()


def test_bins():
    bins = SymExpTwoHot(5).bins
    expected = symexp(torch.tensor([-20.0, -10.0, 0.0, 10.0, 20.0]))
    torch.testing.assert_close(bins, expected)
    assert SymExpTwoHot(4).bins.shape == (4,)
    for number in (4, 5, 255):
        bins = SymExpTwoHot(number).bins
        assert torch.equal(bins, -bins.flip(0))
        assert (bins.diff() > 0).all()


def test_encode_by_hand():
    two_hot = SymExpTwoHot(3)  # -symexp(20), 0, symexp(20)
    top = two_hot.bins[-1]
    target = torch.stack([top / 4, -top / 2, top * 0, top, -top * 3])
    expected = [[0, 0.75, 0.25], [0.5, 0.5, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]]
    torch.testing.assert_close(two_hot.encode(target), torch.tensor(expected).float())


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=4))
def test_round_trip(numbers):
    target = torch.tensor(numbers)
    probs = DEFAULT.encode(target)
    assert ((probs > 0).sum(-1) <= 2).all()
    torch.testing.assert_close(probs.sum(-1), torch.ones(len(numbers)))
    decoded = DEFAULT.decode(probs.log())
    torch.testing.assert_close(decoded, target, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("number", [4, 255])
def test_equal_logits_give_zero(number):
    two_hot = SymExpTwoHot(number)
    assert two_hot.decode(torch.full((7, number), 0.3)).tolist() == [0.0] * 7
    assert two_hot(torch.zeros(2, 3, number)).shape == (2, 3, 1)


def test_decode_is_the_mean():
    logits = torch.randn(5, 7, dtype=torch.float64)
    two_hot = SymExpTwoHot(7).double()
    expected = (logits.softmax(-1) * two_hot.bins).sum(-1)
    torch.testing.assert_close(two_hot.decode(logits), expected)


def test_loss():
    two_hot = SymExpTwoHot(5)
    logits = torch.randn(4, 3, 5, requires_grad=True)
    target = torch.randn(4, 3) * 100
    loss = two_hot.loss(logits, target)
    expected = torch.nn.functional.cross_entropy(
        logits.reshape(-1, 5), two_hot.encode(target).reshape(-1, 5), reduction="none"
    )
    torch.testing.assert_close(loss, expected.reshape(4, 3))
    assert torch.equal(two_hot.loss(logits, target.unsqueeze(-1)), loss)
    loss.sum().backward()
    # the gradient of a cross-entropy
    torch.testing.assert_close(logits.grad, logits.softmax(-1) - two_hot.encode(target))


def test_bad_input():
    with pytest.raises(RLError, match="at least 2"):
        SymExpTwoHot(1)
    with pytest.raises(ShapeError, match="out_features=255"):
        DEFAULT(torch.zeros(3, 4))
    with pytest.raises(ShapeError, match="one target for each row"):
        DEFAULT.loss(torch.zeros(3, 255), torch.zeros(2, 3))
