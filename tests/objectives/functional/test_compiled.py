"""The functions compile without a graph break, and compiled equal themselves."""

import pytest
import torch

from rl.objectives import functional as F  # noqa: N812


@pytest.fixture(autouse=True)
def _fresh_compiler():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def data(length=70):
    torch.manual_seed(0)
    value, following, reward, log_pi, log_mu = torch.randn(5, 3, length, 1).unbind(0)
    terminated = torch.rand(3, length, 1) < 0.05
    done = terminated | (torch.rand(3, length, 1) < 0.05)
    return {
        "value": value,
        "next": (following, reward, done, terminated),
        "policies": (log_pi, log_mu),
    }


CASES = {
    "gae": lambda d: F.vec_generalized_advantage_estimate(0.9, 0.8, d["value"], *d["next"]),
    "td0": lambda d: F.td0_return_estimate(0.9, d["next"][0], d["next"][1], d["next"][3]),
    "td1": lambda d: F.vec_td1_return_estimate(0.9, *d["next"]),
    "td_lambda": lambda d: F.vec_td_lambda_return_estimate(0.9, 0.8, *d["next"]),
    "vtrace": lambda d: F.vtrace_advantage_estimate(0.9, *d["policies"], d["value"], *d["next"]),
    "reward2go": lambda d: F.reward2go(d["next"][1], d["next"][2], 0.9),
}


@pytest.mark.parametrize("name", CASES)
def test_no_graph_break(name):
    function, batch = CASES[name], data()
    compiled = torch.compile(function, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(batch), function(batch))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")  # raised inside torch
@pytest.mark.parametrize("name", ["gae", "vtrace"])
def test_generated_code_equals_eager(name):
    function, batch = CASES[name], data()
    compiled = torch.compile(function, fullgraph=True)
    torch.testing.assert_close(compiled(batch), function(batch), atol=1e-5, rtol=1e-5)


def test_compiled_gradients():
    batch = data()
    batch["value"].requires_grad_()
    compiled = torch.compile(CASES["gae"], fullgraph=True, backend="aot_eager")
    compiled(batch)[0].square().sum().backward()
    found, batch["value"].grad = batch["value"].grad, None
    CASES["gae"](batch)[0].square().sum().backward()
    torch.testing.assert_close(found, batch["value"].grad)
