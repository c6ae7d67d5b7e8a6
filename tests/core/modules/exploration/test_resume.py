"""Exploration goes through a checkpoint: the next actions are the very same."""

import pytest
import torch
from tensordict import TensorDict
from tensordict.nn import TensorDictModule as Mod
from tensordict.nn import TensorDictSequential as Seq
from torch import nn

from rl.core import (
    AdditiveGaussianModule,
    Bounded,
    Checkpoint,
    CheckpointError,
    ConsistentDropoutModule,
    EGreedyModule,
    ExplorationType,
    GlobalRNGState,
    LazygSDEModule,
    NoisyLazyLinear,
    NoisyLinear,
    OneHot,
    OrnsteinUhlenbeckProcessModule,
    gSDEModule,
    reset_noise,
    set_exploration_type,
)

BOX = Bounded(-1.0, 1.0, (2,))


class Carry:
    """What a collector carries from one step to the next."""

    def __init__(self, batch):
        start = torch.linspace(-1, 1, 3).expand(*batch, 3).clone()
        self.td = TensorDict(observation=start, batch_size=batch)

    def state_dict(self):
        return {"td": self.td}

    def load_state_dict(self, state_dict):
        self.td = state_dict["td"]


def linear(out=2):
    return Mod(nn.Linear(3, out), ["observation"], ["action"])


def e_greedy():
    one_hot = Mod(lambda x: nn.functional.one_hot(x.argmax(-1), 3), ["observation"], ["action"])
    return Seq(one_hot, EGreedyModule(OneHot(3), 0.9, 0.3, annealing_num_steps=20))


def gaussian():
    return Seq(linear(), AdditiveGaussianModule(BOX, 0.5, 0.1, 10, mean=0.1, std=2.0))


def ornstein_uhlenbeck():
    return Seq(
        linear(),
        OrnsteinUhlenbeckProcessModule(
            BOX, 0.9, 0.2, 12, theta=0.5, x0=0.3, sigma_min=0.05, n_steps_annealing=6
        ),
    )


def gsde(layer):
    names = ["action", "observation", "_eps_gSDE"], ["loc", "scale", "action", "_eps_gSDE"]
    zero = Mod(lambda x: x.new_zeros(*x.shape[:-1], 2, 3), ["observation"], ["_eps_gSDE"])
    keep = Mod(lambda eps: eps, ["_eps_gSDE"], ["_eps_gSDE"])
    return Seq(linear(), Mod(layer, *names)), zero, keep


def state_dependent():
    return gsde(gSDEModule(2, 3, sigma_init=0.7))[0]


def lazy_state_dependent():
    return gsde(LazygSDEModule(sigma_init=0.7))[0]


def consistent_dropout():
    return Seq(linear(8), ConsistentDropoutModule(0.5, ["action"]))


def noisy():
    return Mod(NoisyLinear(3, 2), ["observation"], ["action"])


def lazy_noisy():
    return Mod(NoisyLazyLinear(2), ["observation"], ["action"])


POLICIES = [
    e_greedy,
    gaussian,
    ornstein_uhlenbeck,
    state_dependent,
    lazy_state_dependent,
    consistent_dropout,
    noisy,
    lazy_noisy,
]


def prepare(make, batch):
    policy, carry = make(), Carry(batch)
    if "dependent" in make.__name__:
        carry.td["_eps_gSDE"] = torch.zeros(*batch, 2, 3)  # as a primer writes it
    return policy, carry


@torch.no_grad()
def play(policy, carry, steps):
    """Return the actions of some steps; noise that is drawn per trajectory is drawn anew once."""
    actions = []
    with set_exploration_type(ExplorationType.RANDOM):
        for _ in range(steps):
            td = policy(carry.td)
            actions.append(td["action"].clone())
            for module in policy.modules():
                if hasattr(module, "annealing_num_steps"):
                    module.step()
            carry.td = td.exclude("action", "loc", "scale")
            carry.td["observation"] = carry.td["observation"].roll(1, -1) * 0.9
    return torch.stack(actions)


@pytest.mark.parametrize("batch", [(), (5,), (2, 3)], ids=str)
@pytest.mark.parametrize("make", POLICIES, ids=lambda make: make.__name__)
def test_the_very_same_actions(make, batch, tmp_path):
    torch.manual_seed(0)
    policy, carry = prepare(make, batch)
    play(policy, carry, 4)
    policy.apply(reset_noise)
    path = Checkpoint(policy=policy, carry=carry, rng=GlobalRNGState()).save(tmp_path)
    expected = play(policy, carry, 6)

    torch.manual_seed(1)
    resumed, fresh = prepare(make, batch)
    other = play(*prepare(make, batch), 6)
    Checkpoint(policy=resumed, carry=fresh, rng=GlobalRNGState()).load(path)
    assert torch.equal(play(resumed, fresh, 6), expected)
    assert not torch.equal(other, expected), "the test would pass without a checkpoint"
    for name, value in policy.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


@pytest.mark.parametrize(
    ("make", "name"),
    [(e_greedy, "eps"), (gaussian, "sigma"), (ornstein_uhlenbeck, "eps")],
)
def test_annealing_goes_on(make, name, tmp_path):
    policy, resumed = make(), make()
    policy[-1].step(5)
    Checkpoint(policy=policy).save(tmp_path)
    assert getattr(resumed[-1], name) != getattr(policy[-1], name)
    Checkpoint(policy=resumed).load(tmp_path)
    for module in (policy, resumed):
        module[-1].step(3)
    assert torch.equal(getattr(resumed[-1], name), getattr(policy[-1], name))


def test_the_state_of_another_layer_is_refused(tmp_path):
    Checkpoint(policy=gSDEModule(2, 3)).save(tmp_path)
    with pytest.raises(CheckpointError, match="`policy` refuses its saved state"):
        Checkpoint(policy=gSDEModule(2, 4)).load(tmp_path)


@pytest.mark.parametrize("lazy", [LazygSDEModule, lambda: NoisyLazyLinear(2)])
def test_a_refusal_leaves_a_lazy_layer_lazy(lazy, tmp_path):
    """Nothing half-loaded, even where there was nothing yet."""

    class Refuses:
        def __init__(self, state):
            self.state = state

        def state_dict(self):
            return self.state

        def load_state_dict(self, state_dict):
            if state_dict:
                raise ValueError("no.")

    layer = lazy()
    first = lazy()
    first(*([torch.zeros(1, 2), torch.zeros(1, 3)][: 2 - isinstance(first, NoisyLazyLinear)]))
    Checkpoint(layer=first, other=Refuses({"x": 1})).save(tmp_path)
    with pytest.raises(CheckpointError, match="`other` refuses"):
        Checkpoint(layer=layer, other=Refuses({})).load(tmp_path)
    assert layer.has_uninitialized_params()
