import pytest
import torch
from tensordict import TensorDict

from rl.core import MissingKeyError, RLError, SpecError, Unbounded
from rl.envs.transformed import TransformedEnv
from rl.envs.transforms import ActionMask


@pytest.mark.parametrize("one_hot", [False, True])
@pytest.mark.parametrize("batch_size", [(), (3,)])
def test_random_actions_are_legal(masked, batch_size, one_hot):
    env = TransformedEnv(masked(batch_size, one_hot), ActionMask())
    env.rollout(9)  # the env raises at an illegal action
    root = env.reset()
    assert env.action_spec.is_in(env.rand_action(root)["action"])


def test_partial_reset_keeps_the_masks_of_other_rows(masked):
    env = TransformedEnv(masked((2,)), ActionMask())
    root = env.step_mdp(env.rand_step(env.reset()))
    root = env.reset(root.set("_reset", torch.tensor([[True], [False]])))
    assert env.rand_action(root)["action"].tolist() == [0, 1]


def test_bad_input(masked, counting):
    with pytest.raises(MissingKeyError, match="`action_mask`"):
        TransformedEnv(counting(), ActionMask())
    with pytest.raises(MissingKeyError, match="Did you mean `action`"):
        TransformedEnv(masked(), ActionMask(action_key="actions"))
    base = masked()
    base.action_spec = Unbounded((4,))
    with pytest.raises(SpecError, match="only categorical and one-hot"):
        TransformedEnv(base, ActionMask())
    with pytest.raises(RLError, match="add it to a `TransformedEnv`"):
        ActionMask()(TensorDict({"action_mask": torch.ones(2)}))
    with pytest.raises(MissingKeyError, match="`action_mask`"):
        ActionMask()(TensorDict())
