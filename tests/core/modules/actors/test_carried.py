import torch
from tensordict.nn import TensorDictModule, TensorDictSequential

from rl.core.modules import ConsistentDropoutModule, OrnsteinUhlenbeckProcessModule
from rl.core.modules.actors.carried import carried_keys


def test_collects_from_the_parts():
    plain = TensorDictModule(torch.nn.Linear(3, 2), ["observation"], ["hidden"])
    policy = TensorDictSequential(
        plain,
        TensorDictSequential(ConsistentDropoutModule(0.5, "hidden", "action")),
        OrnsteinUhlenbeckProcessModule(action_key="action"),
    )
    assert carried_keys(policy) == {"action_dropout_mask", "_ou_prev_noise", "_ou_steps"}
    assert carried_keys(plain) == set()
