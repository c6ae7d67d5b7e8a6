from itertools import pairwise

import pytest
import torch
from torch import nn

from rl.core.errors import RLError
from rl.core.modules.recurrent import running
from rl.core.modules.recurrent.running import (
    SequenceRunner,
    by_kernel,
    by_steps,
    check_precision,
)

KINDS = [nn.LSTM, nn.GRU]
B, T, N, H = 3, 9, 2, 4


def inputs(kind, rate=0.3):
    torch.manual_seed(0)
    states = tuple(torch.randn(B, T, N, H) for _ in range(2 if kind is nn.LSTM else 1))
    return torch.randn(B, T, 3), states, torch.rand(B, T) < rate


def by_loop(net, x, states, starts):
    """One call of the network per segment; the state at the end of each."""
    out, last = torch.empty(B, T, H), []
    for row in range(B):
        cuts = [0, *(t for t in range(1, T) if starts[row, t]), T]
        for begin, end in pairwise(cuts):
            hx = tuple(s[row, begin].unsqueeze(1) for s in states)
            piece, final = net(x[row : row + 1, begin:end], hx if len(hx) == 2 else hx[0])
            out[row, begin:end] = piece[0]
            last.append(final if len(hx) == 2 else (final,))
    return out, [torch.cat(s, 1).transpose(0, 1) for s in zip(*last, strict=True)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("road", ["_piecewise", "_packed"])
@pytest.mark.parametrize("batch_first", [True, False])
def test_kernel_against_a_loop(kind, road, batch_first, monkeypatch):
    monkeypatch.setattr(running, "_piecewise", getattr(running, road))
    net = kind(3, H, N, batch_first=batch_first)
    x, states, starts = inputs(kind)
    out, last, ends = by_kernel(net, x, states, starts)
    twin = kind(3, H, N, batch_first=True)
    twin.load_state_dict(net.state_dict())
    expected, finals = by_loop(twin, x, states, starts)
    torch.testing.assert_close(out, expected, atol=1e-6, rtol=1e-5)
    for found, final in zip(last, finals, strict=True):
        torch.testing.assert_close(found, final, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(last[0][:, -1], out.flatten(0, 1)[ends])


@pytest.mark.parametrize("kind", KINDS)
def test_rows_without_cuts_are_one_call(kind):
    net = kind(3, H, N, batch_first=True)
    x, states, starts = inputs(kind, rate=0.0)
    starts[:, 0] = True
    out, _, ends = by_kernel(net, x, states, starts)
    assert ends is None
    torch.testing.assert_close(out, by_loop(net, x, states, starts)[0], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_steps_equal_the_kernel(kind):
    net = kind(3, H, N, batch_first=True)
    given = inputs(kind)
    out, last, ends = by_kernel(net, *given)
    stepped, states = by_steps(net, *given)
    torch.testing.assert_close(stepped, out, atol=1e-6, rtol=1e-5)
    for state, final in zip(states, last, strict=True):
        torch.testing.assert_close(state.flatten(0, 1)[ends], final, atol=1e-6, rtol=1e-5)


def test_bidirectional_steps_are_refused():
    net = nn.GRU(3, H, N, bidirectional=True)
    with pytest.raises(RLError, match="recurrent_backend='pad'"):
        by_steps(net, *inputs(nn.GRU))


def test_settings():
    with pytest.raises(RLError, match=r"expected one of \['auto', 'pad', 'scan'\]"):
        SequenceRunner("triton")
    with pytest.raises(RLError, match="expected 'none', or 'full'"):
        SequenceRunner(recompute="some")
    with pytest.raises(RLError, match=r"torch\.set_float32_matmul_precision"):
        check_precision("tf32")
    check_precision("auto")
