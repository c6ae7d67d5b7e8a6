import pytest
import torch
from tensordict import TensorDict
from torch import nn

from rl.core.errors import MissingKeyError, SpecError
from rl.core.modules import (
    EGreedyModule,
    EGreedyWrapper,
    QValueActor,
)
from rl.core.specs import Categorical, MultiCategorical, OneHot


class TestEGreedy:
    def test_share_of_random_actions(self):
        torch.manual_seed(0)
        module = EGreedyModule(Categorical(10), eps_init=0.3, eps_end=0.3)
        td = TensorDict(action=torch.full((20_000,), 3), batch_size=[20_000])
        # random actions hit 3 one time in ten
        changed = (module(td)["action"] != 3).float().mean().item()
        assert changed == pytest.approx(0.27, abs=0.01)

    @pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.float32])
    def test_one_hot_rows_stay_one_hot(self, dtype):
        action = torch.eye(4)[torch.zeros(50, dtype=torch.int64)].to(dtype)
        td = EGreedyModule(OneHot(4))(TensorDict(action=action, batch_size=[50]))
        assert td["action"].dtype == dtype
        assert (td["action"].long().sum(-1) == 1).all()

    @pytest.mark.parametrize("spec", [OneHot(4), OneHot(4, (50, 4))])
    def test_mask(self, spec):
        mask = torch.tensor([True, False, False, True]).expand(50, 4)
        action = torch.eye(4, dtype=torch.int64)[torch.zeros(50, dtype=torch.int64)]
        td = TensorDict(action=action, legal=mask, batch_size=[50])
        td = EGreedyModule(spec, action_mask_key="legal")(td)
        assert set(td["action"].argmax(-1).tolist()) == {0, 3}

    def test_mask_of_indices(self):
        mask = torch.tensor([True, False, False, True]).expand(50, 4)
        td = TensorDict(action=torch.zeros(50, dtype=torch.int64), legal=mask, batch_size=[50])
        td = EGreedyModule(Categorical(4), action_mask_key="legal")(td)
        assert set(td["action"].tolist()) == {0, 3}

    def test_mask_of_several_variables(self):
        mask = torch.tensor([True, False, False, True, True]).expand(50, 5)
        td = TensorDict(action=torch.zeros(50, 2, dtype=torch.int64), legal=mask, batch_size=[50])
        td = EGreedyModule(MultiCategorical([2, 3]), action_mask_key="legal")(td)
        assert set(td["action"][:, 0].tolist()) == {0}
        assert set(td["action"][:, 1].tolist()) == {1, 2}

    def test_mask_is_missing(self):
        td = TensorDict(action=torch.zeros(5, 4), batch_size=[5])
        with pytest.raises(MissingKeyError, match="drop `action_mask_key`"):
            EGreedyModule(OneHot(4), action_mask_key="legal")(td)

    def test_shape_that_does_not_fit(self):
        td = TensorDict(action=torch.zeros(5, 3), batch_size=[5])
        with pytest.raises(SpecError, match="pass the spec of one env"):
            EGreedyModule(OneHot(4))(td)

    def test_wrapper(self):
        policy = EGreedyWrapper(
            QValueActor(nn.Linear(3, 4), spec=OneHot(4)), annealing_num_steps=10
        )
        td = policy(TensorDict(observation=torch.zeros(5, 3), batch_size=[5]))
        assert td["action"].shape == (5, 4)
        policy.step(10)
        assert policy[1].eps.item() == pytest.approx(0.1)


def test_a_masked_action_keeps_its_trailing_dimension():
    module = EGreedyModule(Categorical(5, shape=(1,)), 1.0, 1.0, action_mask_key="mask")
    mask = torch.zeros(4, 5, dtype=torch.bool)
    mask[:, 2] = True
    td = TensorDict({"action": torch.zeros(4, 1, dtype=torch.long), "mask": mask}, [4])
    assert module(td)["action"].tolist() == [[2]] * 4
    td = TensorDict({"action": torch.zeros(4, 3, dtype=torch.long), "mask": mask}, [4])
    with pytest.raises(SpecError, match="a row per action"):
        module(td)
