"""Small networks and batches on which the losses are tested."""

from dataclasses import dataclass

import pytest
import torch
from tensordict import NestedKey, TensorDict
from tensordict.nn import InteractionType, TensorDictModule, dispatch, interaction_type
from torch import nn

from rl.core.distributions import IndependentNormal, OneHotCategorical, TanhNormal
from rl.core.modules import ProbabilisticActor, QValueActor, ValueOperator
from rl.core.specs import OneHot
from rl.objectives import LossModule


class GaussianHead(nn.Module):
    """Mean and scale of a two-component action."""

    def __init__(self):
        super().__init__()
        self.net = nn.Linear(3, 4)

    def forward(self, observation):
        loc, scale = self.net(observation).chunk(2, -1)
        return loc, nn.functional.softplus(scale) + 0.1


class Critic(nn.Module):
    """Value of an action."""

    def __init__(self, out=1):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, out))

    def forward(self, observation, action):
        return self.net(torch.cat([observation, action], -1))


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def gaussian(distribution):
    return ProbabilisticActor(
        TensorDictModule(GaussianHead(), ["observation"], ["loc", "scale"]),
        in_keys=["loc", "scale"],
        out_keys=["action"],
        distribution_class=distribution,
        return_log_prob=True,
    )


@pytest.fixture
def actor():
    """A Gaussian actor: entropy and log-prob have closed forms."""
    return gaussian(IndependentNormal)


@pytest.fixture
def squashed_actor():
    return gaussian(TanhNormal)


@pytest.fixture
def discrete_actor():
    return ProbabilisticActor(
        TensorDictModule(nn.Linear(3, 4), ["observation"], ["logits"]),
        in_keys=["logits"],
        out_keys=["action"],
        distribution_class=OneHotCategorical,
        return_log_prob=True,
    )


@pytest.fixture
def deterministic_actor():
    return TensorDictModule(nn.Sequential(nn.Linear(3, 2), nn.Tanh()), ["observation"], ["action"])


@pytest.fixture
def critic():
    return ValueOperator(nn.Linear(3, 1), in_keys=["observation"])


@pytest.fixture
def qvalue():
    return ValueOperator(Critic(), in_keys=["observation", "action"])


@pytest.fixture
def qvalues():
    """Values of the four actions of `discrete_actor`."""
    net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 4))
    return TensorDictModule(net, ["observation"], ["action_value"])


@pytest.fixture
def qactor():
    net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 4))
    return QValueActor(net, in_keys=["observation"], spec=OneHot(4))


def transitions(*shape, names=None):
    terminated = torch.rand(*shape, 1) < 0.2
    done = terminated | (torch.rand(*shape, 1) < 0.2)
    step = {
        "observation": torch.randn(*shape, 3),
        "reward": torch.randn(*shape, 1),
        "done": done,
        "terminated": terminated,
    }
    root = {"observation": torch.randn(*shape, 3), "action": torch.rand(*shape, 2) - 0.5}
    return TensorDict({**root, "next": step}, shape, names=names)


@pytest.fixture
def batch():
    """Sixteen transitions of a continuous task."""
    return transitions(16)


@pytest.fixture
def discrete_batch():
    """Sixteen transitions with one-hot actions."""
    data = transitions(16)
    data["action"] = nn.functional.one_hot(torch.randint(4, (16,)), 4)
    return data


@pytest.fixture
def on_policy(actor):
    """Sixteen transitions with what PPO reads, collected by a policy near `actor`."""
    data = transitions(16)
    with torch.no_grad():
        data["loc"], data["scale"] = actor[0].module(data["observation"])
        data["loc"] += 0.1
        old = IndependentNormal(data["loc"], data["scale"])
        data["action"], data["action_log_prob"] = old.sample_and_log_prob()
    data["advantage"], data["value_target"] = torch.randn(2, 16, 1).unbind(0)
    return data


@pytest.fixture
def trajectories(on_policy):
    """The same, as two trajectories of eight steps without advantages."""
    data = on_policy.exclude("advantage", "value_target").reshape(2, 8)
    data.names = [None, "time"]
    return data


@pytest.fixture
def compiled():
    """Compile a loss without graph breaks, with the backend that only captures."""
    torch.compiler.reset()
    yield lambda loss: torch.compile(loss, fullgraph=True, backend="eager")
    torch.compiler.reset()


def mode_number(mode):
    return torch.tensor(list(InteractionType).index(mode))


class SquareLoss(LossModule):
    """A custom loss as users write them: networks by name, `forward` on a TensorDict."""

    @dataclass(frozen=True)
    class _AcceptedKeys:
        target: NestedKey = "target"

    def __init__(self, network, *, expand_dim=None, delay=False, **kwargs):
        super().__init__(**kwargs)
        self.convert_to_functional(
            network, "net", expand_dim=expand_dim, create_target_params=delay
        )
        self.register_coeff_buffer("scale", 1.0)

    @dispatch
    def forward(self, tensordict):
        with self.net_params.to_module(self.net):
            value = self.net(tensordict.copy())["value"]
        loss = (value - tensordict[self.tensor_keys.target]).square().squeeze(-1)
        loss = self._reduce(self.scale * loss, self._mask(tensordict))
        return self._output({"loss": loss, "mode": mode_number(interaction_type())})

    def _read_keys(self):
        return [*self.net.in_keys, self.tensor_keys.target]

    def _written_keys(self):
        return ("loss", "mode")


@pytest.fixture
def square_loss():
    """The class of a custom loss."""
    return SquareLoss


@pytest.fixture
def net():
    return TensorDictModule(nn.Linear(3, 1), ["x"], ["value"])


@pytest.fixture
def data():
    return TensorDict({"x": torch.randn(5, 3), "target": torch.randn(5, 1)}, [5])
