import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from rl.core.errors import RLError, ShapeError
from rl.core.modules import BatchRenorm1d


class Slow:
    """Ioffe 2017, algorithm 1, one feature and one number at a time."""

    def __init__(self, momentum, eps, max_r, max_d, warmup, smooth):
        self.mean, self.var, self.calls = 0.0, 1.0, 0
        self.momentum, self.eps, self.max_r, self.max_d = momentum, eps, max_r, max_d
        self.warmup, self.smooth = warmup, smooth

    def __call__(self, column):
        n = len(column)
        mean = sum(column) / n
        var = sum((x - mean) ** 2 for x in column) / n
        std, running = (var + self.eps) ** 0.5, (self.var + self.eps) ** 0.5
        r = min(max(std / running, 1 / self.max_r), self.max_r)
        d = min(max((mean - self.mean) / running, -self.max_d), self.max_d)
        share = float(self.calls >= self.warmup)
        if self.smooth and self.warmup:
            share = min(self.calls / self.warmup, 1)
        r, d = 1 + share * (r - 1), share * d
        self.mean += self.momentum * (mean - self.mean)
        self.var += self.momentum * (var * n / (n - 1) - self.var)
        self.calls += 1
        return [(x - mean) / std * r + d for x in column]


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 2**20),
    warmup=st.integers(0, 3),
    smooth=st.booleans(),
    max_r=st.sampled_from([1.0, 1.1, 3.0]),
    max_d=st.sampled_from([0.0, 0.3, 5.0]),
)
def test_against_a_slow_reference(seed, warmup, smooth, max_r, max_d):
    kwargs = {"momentum": 0.2, "eps": 1e-3, "max_r": max_r, "max_d": max_d, "smooth": smooth}
    norm = BatchRenorm1d(2, warmup_steps=warmup, **kwargs).double()
    slow = [Slow(0.2, 1e-3, max_r, max_d, warmup, smooth) for _ in range(2)]
    generator = torch.Generator().manual_seed(seed)
    for _ in range(5):
        x = torch.randn(4, 2, generator=generator, dtype=torch.float64) * 3 + 1
        want = [part(column.tolist()) for part, column in zip(slow, x.unbind(-1), strict=True)]
        torch.testing.assert_close(norm(x), torch.tensor(want, dtype=torch.float64).T)
    torch.testing.assert_close(norm.running_mean.tolist(), [part.mean for part in slow])
    torch.testing.assert_close(norm.running_var.tolist(), [part.var for part in slow])


def test_warm_up_is_batch_normalisation():
    norm, plain, x = BatchRenorm1d(3, momentum=0.1), nn.BatchNorm1d(3), torch.randn(8, 3)
    for _ in range(3):
        torch.testing.assert_close(norm(x), plain(x))
    torch.testing.assert_close(norm.eval()(x), plain.eval()(x))
    assert norm.state_dict().keys() == plain.state_dict().keys()


def test_after_the_warm_up_training_is_evaluation():
    norm = BatchRenorm1d(3, warmup_steps=0, max_r=1e6, max_d=1e6)
    norm(torch.randn(8, 3) * 2 + 5)
    x = torch.randn(8, 3)
    torch.testing.assert_close(norm(x), copy.deepcopy(norm).eval()(x), atol=0.1, rtol=0)


def test_corrections_carry_no_gradient():
    norm = BatchRenorm1d(1, warmup_steps=0, momentum=0.0).double()
    x = torch.randn(6, 1, dtype=torch.float64, requires_grad=True)
    (grad,) = torch.autograd.grad(norm(x).square().sum() / 2, x)
    # y = n r + d, n normalised: r and d as constants
    n = nn.BatchNorm1d(1).double()(x)
    r, d = (x.var(correction=0) + 1e-5).sqrt() / (1 + 1e-5) ** 0.5, x.mean() / (1 + 1e-5) ** 0.5
    y = n * r.detach() + d.detach()
    torch.testing.assert_close(grad, torch.autograd.grad(y.square().sum() / 2, x)[0])


def test_statistics_over_all_batch_dimensions():
    one, two, x = BatchRenorm1d(3), BatchRenorm1d(3), torch.randn(4, 5, 3)
    torch.testing.assert_close(one(x).flatten(0, 1), two(x.flatten(0, 1)))


def test_an_ensemble_is_mapped_and_keeps_its_statistics():
    nets = [BatchRenorm1d(3, warmup_steps=1) for _ in range(2)]
    stacked = [torch.func.stack_module_state(nets)[k] for k in (0, 1)]
    x = torch.randn(2, 8, 3)

    def one(params, buffers, x):
        return torch.func.functional_call(nets[0], (params, buffers), (x,))

    for _ in range(3):
        want = [net(part) for net, part in zip(copy.deepcopy(nets), x, strict=True)]
        out = torch.vmap(one)(*stacked, x)
        torch.testing.assert_close(out, torch.stack(want))
        for net, part in zip(nets, x, strict=True):
            net(part)
    torch.testing.assert_close(stacked[1]["running_mean"][1], nets[1].running_mean)
    assert stacked[1]["num_batches_tracked"].tolist() == [3, 3]


def test_compiles_in_one_graph():
    norm, x = BatchRenorm1d(3, warmup_steps=1), torch.randn(8, 3)
    compiled = torch.compile(copy.deepcopy(norm), fullgraph=True, backend="eager")
    for _ in range(3):
        torch.testing.assert_close(compiled(x), norm(x))


def test_reset_forgets():
    norm = BatchRenorm1d(3)
    fresh = {k: v.clone() for k, v in norm.state_dict().items()}
    norm(torch.randn(8, 3))
    norm.reset_parameters()
    assert all(torch.equal(v, fresh[k]) for k, v in norm.state_dict().items())


def test_bad_input():
    with pytest.raises(RLError, match="`max_r=1, max_d=0` is batch normalisation"):
        BatchRenorm1d(3, max_r=0.5)
    with pytest.raises(ShapeError, match="`num_features=4`"):
        BatchRenorm1d(3)(torch.zeros(2, 4))
    with pytest.raises(ShapeError, match=r"call `.eval\(\)` to act"):
        BatchRenorm1d(3)(torch.zeros(1, 3))
