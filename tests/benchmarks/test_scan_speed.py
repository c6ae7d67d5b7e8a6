"""Returns by a log-depth scan, beside the loop that one writes by hand."""

import pytest
import torch

from rl.objectives.functional import (
    vec_generalized_advantage_estimate,
    vec_td_lambda_return_estimate,
    vtrace_advantage_estimate,
)

B, T = 64, 1024


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def data():
    torch.manual_seed(0)
    value, following, reward = torch.randn(3, B, T, 1).unbind(0)
    return value, following, reward, torch.rand(B, T, 1) < 0.01


def by_hand(value, following, reward, done):
    advantage, running = torch.zeros_like(reward), torch.zeros(B, 1)
    alive = (~done).float()
    delta = reward + 0.99 * following * alive - value
    for t in reversed(range(T)):
        running = delta[:, t] + 0.99 * 0.95 * alive[:, t] * running
        advantage[:, t] = running
    return advantage


@pytest.mark.benchmark(group="gae-64x1024")
def test_gae_by_hand(benchmark, data):
    benchmark.pedantic(by_hand, data, rounds=5, warmup_rounds=1)


@pytest.mark.benchmark(group="gae-64x1024")
def test_gae(benchmark, data):
    value, following, reward, done = data
    result = benchmark(
        vec_generalized_advantage_estimate, 0.99, 0.95, value, following, reward, done, done
    )
    torch.testing.assert_close(result[0], by_hand(*data), atol=1e-4, rtol=1e-4)


@pytest.mark.benchmark(group="td-lambda-64x1024")
def test_td_lambda(benchmark, data):
    _, following, reward, done = data
    benchmark(vec_td_lambda_return_estimate, 0.99, 0.95, following, reward, done, done)


@pytest.mark.benchmark(group="vtrace-64x1024")
def test_vtrace(benchmark, data):
    value, following, reward, done = data
    log_pi, log_mu = torch.randn(2, B, T, 1).unbind(0)
    benchmark(
        vtrace_advantage_estimate,
        0.99,
        log_pi,
        log_mu,
        value,
        following,
        reward,
        done,
        done,
    )
