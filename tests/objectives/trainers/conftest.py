from types import SimpleNamespace

import pytest
import torch
from tensordict import TensorDict
from tensordict.nn import TensorDictModule
from torch import nn

from rl.core import (
    MLP,
    ExplorationType,
    OneHot,
    OneHotCategorical,
    ProbabilisticActor,
    QValueActor,
    ValueOperator,
    set_exploration_type,
)

ARMS = 3
BEST = 2


class Bandit:
    """Collects from a bandit whose last arm pays 1; its state is the number of its batches."""

    def __init__(self, policy, size=16, *, explore=0.0):
        self.policy, self.size, self.explore = policy, size, explore
        self.frames_per_batch = size
        self.batches = 0
        self.is_shut_down = False

    def __iter__(self):
        while True:
            self.batches += 1
            yield self.play()

    @torch.no_grad()
    def play(self):
        with set_exploration_type(ExplorationType.RANDOM):
            root = self.policy(TensorDict({"observation": torch.ones(self.size, 2)}, [self.size]))
        if self.explore:
            other = torch.eye(ARMS)[torch.randint(ARMS, (self.size,))]
            chance = torch.rand(self.size, 1) < self.explore
            root["action"] = torch.where(chance, other, root["action"].float())
        end = torch.ones(self.size, 1, dtype=torch.bool)
        root["next"] = TensorDict(
            {
                "observation": torch.ones(self.size, 2),
                "reward": root["action"][:, BEST:].float(),
                "done": end,
                "terminated": end,
            },
            [self.size],
        )
        return root

    def state_dict(self):
        return {"batches": self.batches}

    def load_state_dict(self, state_dict):
        self.batches = state_dict["batches"]

    def shutdown(self):
        self.is_shut_down = True


def make_actor():
    net = TensorDictModule(MLP(2, ARMS, num_cells=[8]), ["observation"], ["logits"])
    return ProbabilisticActor(
        net,
        in_keys=["logits"],
        spec=OneHot(ARMS),
        distribution_class=OneHotCategorical,
        return_log_prob=True,
    )


def make_critic():
    return ValueOperator(MLP(2, 1, num_cells=[8]), in_keys=["observation"])


def make_q_actor():
    return QValueActor(MLP(2, ARMS, num_cells=[8]), in_keys=["observation"], spec=OneHot(ARMS))


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture
def net():
    return nn.Linear(1, 1, bias=False)


@pytest.fixture
def square_loss(net):
    """A loss that is the square of the weight, so that SGD with lr 0.5 reaches 0 in one step."""

    def loss(batch):
        return TensorDict({"loss": net(batch["x"]).square().mean(), "weight": net.weight.detach()})

    return loss


@pytest.fixture
def batches():
    return [TensorDict({"x": torch.ones(4, 1)}, [4]) for _ in range(3)]


@pytest.fixture
def toys():
    """The bandit and networks that play it."""
    return SimpleNamespace(
        Bandit=Bandit, BEST=BEST, actor=make_actor, critic=make_critic, q_actor=make_q_actor
    )
