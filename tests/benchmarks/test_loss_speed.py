"""Loss and backward pass of PPO, SAC and DQN, beside those that one writes by hand."""

import pytest
import torch
from tensordict import TensorDict
from tensordict.nn import TensorDictModule
from torch import nn

from rl.core import Bounded, OneHot, ProbabilisticActor, QValueActor, TanhNormal, ValueOperator
from rl.objectives import ClipPPOLoss, DQNLoss, SACLoss

OBS, ACT, B = 17, 6, 256


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def mlp(inputs, outputs):
    return nn.Sequential(
        nn.Linear(inputs, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, outputs)
    )


class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = mlp(OBS, 2 * ACT)

    def forward(self, observation):
        loc, scale = self.net(observation).chunk(2, -1)
        return loc, nn.functional.softplus(scale) + 1e-4


class Critic(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = mlp(OBS + ACT, 1)

    def forward(self, observation, action):
        return self.net(torch.cat([observation, action], -1))


def make_actor():
    return ProbabilisticActor(
        TensorDictModule(Head(), ["observation"], ["loc", "scale"]),
        in_keys=["loc", "scale"],
        out_keys=["action"],
        distribution_class=TanhNormal,
        return_log_prob=True,
        spec=Bounded(-1, 1, (ACT,)),
    )


@pytest.fixture
def batch():
    flag = torch.zeros(B, 1, dtype=torch.bool)
    step = {"observation": torch.randn(B, OBS), "reward": torch.randn(B, 1)}
    step |= {"done": flag, "terminated": flag}
    root = {"observation": torch.randn(B, OBS), "action": torch.rand(B, ACT) * 1.8 - 0.9}
    return TensorDict({**root, "next": step}, [B])


def minimised(loss, batch):
    def step():
        losses = loss(batch)
        sum(v for k, v in losses.items() if k.startswith("loss")).backward()

    return step


@pytest.mark.benchmark(group="ppo")
def test_ppo_by_hand(benchmark):
    actor, critic, log_std = mlp(OBS, ACT), mlp(OBS, 1), nn.Parameter(torch.zeros(ACT))
    observation, action = torch.randn(B, OBS), torch.rand(B, ACT)
    old, advantage, target = torch.randn(3, B).unbind(0)

    def step():
        dist = torch.distributions.Normal(actor(observation), log_std.exp())
        ratio = (dist.log_prob(action).sum(-1) - old).exp()
        gain = torch.min(advantage * ratio, advantage * ratio.clamp(0.8, 1.2)).mean()
        error = ((critic(observation)[:, 0] - target) ** 2).mean()
        (error - gain - 0.01 * dist.entropy().sum(-1).mean()).backward()

    benchmark(step)


@pytest.mark.benchmark(group="ppo")
def test_ppo(benchmark, batch):
    actor = make_actor()
    with torch.no_grad():
        actor(batch)
    batch["advantage"], batch["value_target"] = torch.randn(2, B, 1).unbind(0)
    critic = ValueOperator(mlp(OBS, 1), in_keys=["observation"])
    benchmark(minimised(ClipPPOLoss(actor, critic), batch))


@pytest.mark.benchmark(group="sac")
def test_sac_by_hand(benchmark):
    actor, log_alpha = mlp(OBS, 2 * ACT), nn.Parameter(torch.zeros(()))
    critics, targets = ([mlp(OBS + ACT, 1) for _ in range(2)] for _ in range(2))
    observation, action, following = torch.randn(B, OBS), torch.rand(B, ACT), torch.randn(B, OBS)
    reward, done = torch.randn(B, 1), torch.zeros(B, 1)

    def draw(x):
        loc, scale = actor(x).chunk(2, -1)
        scale = nn.functional.softplus(scale) + 1e-4
        u = loc + scale * torch.randn_like(loc)
        y = torch.tanh(u)
        log_prob = -(((u - loc) / scale) ** 2) / 2 - scale.log() - 0.9189
        return y, (log_prob - torch.log(1 - y**2 + 1e-6)).sum(-1, keepdim=True)

    def lowest(nets, x):
        return torch.min(nets[0](x), nets[1](x))

    def step():
        with torch.no_grad():
            next_action, log_prob = draw(following)
            value = lowest(targets, torch.cat([following, next_action], -1))
            target = reward + 0.99 * (1 - done) * (value - log_alpha.exp() * log_prob)
        x = torch.cat([observation, action], -1)
        loss = sum(((critic(x) - target) ** 2).mean() for critic in critics)
        new_action, log_prob = draw(observation)
        value = lowest(critics, torch.cat([observation, new_action], -1))
        loss = loss + (log_alpha.exp().detach() * log_prob - value).mean()
        (loss - (log_alpha * (log_prob.detach() - 6.0)).mean()).backward()

    benchmark(step)


@pytest.mark.benchmark(group="sac")
def test_sac(benchmark, batch):
    qvalue = ValueOperator(Critic(), in_keys=["observation", "action"])
    loss = SACLoss(make_actor(), qvalue, target_entropy=-6.0)
    loss.target_updater_required = False
    benchmark(minimised(loss, batch))


@pytest.mark.benchmark(group="dqn")
def test_dqn_by_hand(benchmark):
    net, target_net = mlp(OBS, ACT), mlp(OBS, ACT)
    observation, following = torch.randn(2, B, OBS).unbind(0)
    action, reward = torch.randint(ACT, (B, 1)), torch.randn(B, 1)

    def step():
        with torch.no_grad():
            target = reward + 0.99 * target_net(following).max(-1, keepdim=True)[0]
        ((net(observation).gather(-1, action) - target) ** 2).mean().backward()

    benchmark(step)


@pytest.mark.benchmark(group="dqn")
def test_dqn(benchmark, batch):
    actor = QValueActor(mlp(OBS, ACT), in_keys=["observation"], spec=OneHot(ACT))
    loss = DQNLoss(actor, action_space="one_hot", delay_value=True)
    loss.target_updater_required = False
    batch["action"] = nn.functional.one_hot(torch.randint(ACT, (B,)), ACT)
    benchmark(minimised(loss, batch))
