"""An actor's draw with its log-probability beside the code that one writes by hand, in one run."""

from __future__ import annotations

import statistics
import time

import pytest
import torch
from tensordict import TensorDict
from tensordict.nn import TensorDictModule
from torch import nn
from torch.distributions import Categorical, Normal

from rl.core import (
    FusedCategorical,
    NormalParamExtractor,
    ProbabilisticActor,
    TanhNormal,
    set_exploration_type,
)

B, OBS, ACTION = 8, 17, 6
BAR = 1.5
FLICKER = 1.5  # a shared machine is not a stopwatch: the figures are in docs/results/speed.md
HALF_LOG_TAU, LOG_2 = 0.9189385332046727, 0.6931471805599453


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.no_grad(), set_exploration_type("random"):
        yield
    torch.set_num_threads(threads)


def trunk(out):
    return nn.Sequential(
        nn.Linear(OBS, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, out)
    )


def actor(net, keys, family):
    module = TensorDictModule(net, in_keys=["observation"], out_keys=keys)
    policy = ProbabilisticActor(
        module, in_keys=keys, distribution_class=family, return_log_prob=True
    )
    td = TensorDict(observation=torch.randn(B, OBS), batch_size=[B])
    return policy, td


def discrete():
    net, observation = trunk(ACTION), torch.randn(B, OBS)

    def with_torch_distribution():
        dist = Categorical(logits=net(observation))
        action = dist.sample()
        return action, dist.log_prob(action)

    def with_tensors():
        scores = net(observation).log_softmax(-1)
        action = (scores.exp() / torch.empty_like(scores).exponential_()).argmax(-1, keepdim=True)
        return action.squeeze(-1), scores.gather(-1, action).squeeze(-1)

    policy, td = actor(net, ["logits"], FusedCategorical)
    return policy, td, with_torch_distribution, with_tensors


def log_slope(before):
    """Return log(1 - tanh(x)^2) in the form that stays finite where the tanh is 1."""
    return 2 * (LOG_2 - before - nn.functional.softplus(-2 * before))


def tanh_normal():
    net, observation = trunk(2 * ACTION), torch.randn(B, OBS)

    def parameters():
        loc, scale = net(observation).chunk(2, -1)
        return loc, nn.functional.softplus(scale) + 1e-4

    def with_torch_distribution():
        dist = Normal(*parameters())
        before = dist.rsample()
        return before.tanh(), (dist.log_prob(before) - log_slope(before)).sum(-1)

    def with_tensors():
        loc, scale = parameters()
        noise = torch.randn_like(loc)
        before = loc + scale * noise
        score = -0.5 * noise**2 - scale.log() - HALF_LOG_TAU - log_slope(before)
        return before.tanh(), score.sum(-1)

    policy, td = actor(nn.Sequential(net, NormalParamExtractor()), ["loc", "scale"], TanhNormal)
    return policy, td, with_torch_distribution, with_tensors


KINDS = {"discrete": discrete, "tanh-normal": tanh_normal}


def ratios(ours, *others, calls=100, turns=15):
    """Return our time over that of each other: medians over turns in which all take part."""
    for function in (ours, *others):
        function()
    found = []
    for _ in range(turns):
        times = []
        for function in (ours, *others):
            begin = time.perf_counter()
            for _ in range(calls):
                function()
            times.append(time.perf_counter() - begin)
        found.append([times[0] / other for other in times[1:]])
    return [statistics.median(column) for column in zip(*found, strict=True)]


@pytest.mark.parametrize("kind", KINDS)
def test_eager(benchmark, kind):
    policy, td, *by_hand = KINDS[kind]()
    against = ratios(lambda: policy(td), *by_hand)
    benchmark.extra_info["ours / torch distribution, / tensors"] = [round(r, 2) for r in against]
    benchmark.pedantic(policy, args=(td,), rounds=20, iterations=20)
    print(f"\n{kind}, eager: {against[0]:.2f}, {against[1]:.2f}")  # noqa: T201
    assert against[0] <= BAR
    assert against[1] <= BAR * FLICKER


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # raised inside torch
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["torch.compile", "compiled"])
def test_compiled(benchmark, kind, way):
    policy, td, *by_hand = KINDS[kind]()
    torch.compiler.reset()
    own = way == "compiled"
    compiled = policy.compiled(fullgraph=True) if own else torch.compile(policy, fullgraph=True)
    against = ratios(lambda: compiled(td), *by_hand)
    benchmark.extra_info["ours / torch distribution, / tensors"] = [round(r, 2) for r in against]
    benchmark.pedantic(compiled, args=(td,), rounds=20, iterations=20)
    print(f"\n{kind}, {way}: {against[0]:.2f}, {against[1]:.2f}")  # noqa: T201
    assert against[0] <= 1.0 * FLICKER
