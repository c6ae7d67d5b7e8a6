import pytest
import torch
from tensordict import TensorDict

from rl.core.errors import ShapeError
from rl.core.modules import (
    MLP,
    DistributionalDQNnet,
    DistributionalQValueActor,
    DistributionalQValueHook,
    DistributionalQValueModule,
)
from rl.core.specs import (
    OneHot,
)


class TestDistributional:
    # action 0: mean 0.2; action 1: mean 0.9; action 2: mean 0.5
    LOG_PROBS = torch.tensor([[[0.8, 0.1, 0.5], [0.2, 0.9, 0.5]]]).log()
    SUPPORT = torch.tensor([0.0, 1.0])

    def test_greedy_by_hand(self):
        td = TensorDict(action_value=self.LOG_PROBS, batch_size=[1])
        choose = DistributionalQValueModule("one_hot", self.SUPPORT)
        assert choose.out_keys == ["action", "action_value"]
        assert choose(td)["action"].tolist() == [[0, 1, 0]]

    def test_mask(self):
        mask = torch.tensor([[True, False, True]])
        td = TensorDict(action_value=self.LOG_PROBS, legal=mask, batch_size=[1])
        choose = DistributionalQValueModule("categorical", self.SUPPORT, action_mask_key="legal")
        assert choose(td)["action"].tolist() == [2]
        torch.testing.assert_close(td["action_value"].exp().sum(-2), torch.ones(1, 3))

    def test_actor(self):
        net = MLP(in_features=3, out_features=(5, 4), num_cells=[8])
        actor = DistributionalQValueActor(net, torch.arange(5.0), spec=OneHot(4))
        td = actor(TensorDict(observation=torch.randn(6, 3), batch_size=[6]))
        assert td["action"].shape == (6, 4)
        assert td["action_value"].shape == (6, 5, 4)
        torch.testing.assert_close(td["action_value"].exp().sum(-2), torch.ones(6, 4))
        assert "module.2.support" in actor.state_dict()
        assert actor.support.shape == (5,)

    def test_hook(self):
        net = MLP(in_features=3, out_features=(5, 4))
        net.register_forward_hook(DistributionalQValueHook("categorical", torch.arange(5.0)))
        assert net(torch.zeros(6, 3))[0].shape == (6,)

    def test_values_without_atoms(self):
        with pytest.raises(ShapeError, match=r"`out_features=\(atoms, actions\)`"):
            DistributionalDQNnet()(TensorDict(action_value=torch.zeros(3)))
