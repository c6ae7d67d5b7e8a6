import torch
from tensordict import TensorDict
from torch import nn

from rl.core.modules import (
    ValueOperator,
)


class TestValueOperator:
    def test_out_key_follows_the_inputs(self):
        assert ValueOperator(nn.Linear(3, 1)).out_keys == ["state_value"]
        critic = ValueOperator(nn.Bilinear(3, 2, 1), ["observation", "action"])
        assert critic.out_keys == ["state_action_value"]
        td = TensorDict(observation=torch.zeros(5, 3), action=torch.zeros(5, 2), batch_size=[5])
        assert critic(td)["state_action_value"].shape == (5, 1)

    def test_out_key_can_be_chosen(self):
        assert ValueOperator(nn.Linear(3, 1), out_keys=["v"]).out_keys == ["v"]
