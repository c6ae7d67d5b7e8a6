"""Team rewards."""

import torch
from tensordict import TensorDict

from rl.objectives.functional import vec_generalized_advantage_estimate
from rl.objectives.value import MultiAgentGAE


def test_shared_reward_is_given_to_every_agent():
    torch.manual_seed(0)
    value, following = torch.randn(2, 3, 8, 2, 1).unbind(0)
    reward, done = torch.randn(3, 8, 1), torch.rand(3, 8, 1) < 0.2
    step = {"state_value": following, "reward": reward, "done": done, "terminated": done}
    batch = TensorDict({"state_value": value, "next": step}, [3, 8])
    result = MultiAgentGAE(gamma=0.9, lmbda=0.8, value_network=None)(batch)
    for agent in range(2):
        expected, _ = vec_generalized_advantage_estimate(
            0.9, 0.8, value[:, :, agent], following[:, :, agent], reward, done, done
        )
        torch.testing.assert_close(result["advantage"][:, :, agent], expected)


def test_reward_per_agent_stays():
    shape = (3, 8, 2, 1)
    value, following, reward = torch.randn(3, *shape).unbind(0)
    done = torch.rand(shape) < 0.2
    step = {"state_value": following, "reward": reward, "done": done}
    batch = TensorDict({"state_value": value, "next": step}, [3, 8])
    result = MultiAgentGAE(gamma=0.9, lmbda=0.8, value_network=None)(batch)
    expected, _ = vec_generalized_advantage_estimate(
        0.9, 0.8, value, following, reward, done, time_dim=1
    )
    torch.testing.assert_close(result["advantage"], expected)
