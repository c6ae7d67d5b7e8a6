import pytest
import torch
from tensordict import TensorDict
from torch import nn

from rl.core.errors import SpecError
from rl.core.modules import (
    Actor,
)
from rl.core.specs import Bounded, OneHot, Unbounded


def data():
    return TensorDict(obs=torch.randn(5, 3), batch_size=[5])


class TestActor:
    def test_logits_written_as_an_action(self):
        actor = Actor(nn.Linear(3, 4), ["obs"], spec=OneHot(4))
        with pytest.raises(SpecError, match=r"take the greatest \(`QValueActor`\)"):
            actor(data())
        projected = Actor(nn.Linear(3, 4), ["obs"], spec=OneHot(4), safe=True)(data())["action"]
        assert (projected.long().sum(-1) == 1).all()

    def test_whole_floats_are_actions(self):
        actor = Actor(lambda x: torch.eye(4)[[0] * 5], ["obs"], spec=OneHot(4))
        assert actor(data())["action"].shape == (5, 4)

    def test_defaults(self):
        actor = Actor(nn.Linear(3, 2), spec=Bounded(-1, 1, (2,)))
        assert (actor.in_keys, actor.out_keys) == (["observation"], ["action"])
        assert actor.spec["action"] == Bounded(-1, 1, (2,))

    def test_leaf_spec_describes_the_first_output(self):
        actor = Actor(
            lambda x: (x, x), out_keys=["action", "extra"], spec=Unbounded(3), in_keys=["obs"]
        )
        assert actor.spec["extra"] is None
        assert actor(data())["extra"].shape == (5, 3)

    def test_safe(self):
        actor = Actor(nn.Linear(3, 2), ["obs"], spec=Bounded(-0.1, 0.1, (2,)), safe=True)
        assert actor(data())["action"].abs().max() <= 0.1
