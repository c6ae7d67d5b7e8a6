"""The task of a recipe: its envs, and how a policy is evaluated in them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from tensordict import TensorDictBase

from rl.core import ExplorationType, set_exploration_type
from rl.core.loggers import write_video
from rl.core.runs import Evaluation
from rl.envs import EnvBase, GymEnv, ParallelEnv, RewardSum, SerialEnv, TransformedEnv

__all__ = ["TRANSITION_KEYS", "ended_returns", "evaluate_policy", "make_env"]

#: what off-policy recipes store of a transition
TRANSITION_KEYS = (
    "observation",
    "action",
    ("next", "observation"),
    ("next", "reward"),
    ("next", "done"),
    ("next", "terminated"),
)

#: an episode of an env without a time limit is cut here when a policy is evaluated
MAX_EVALUATION_STEPS = 10_000


def make_env(name: str, num_envs: int, *, parallel: bool = False) -> EnvBase:
    """Return `num_envs` copies of a gymnasium env as one, with float32 data and episode returns.

    Args:
        name: gymnasium id.
        num_envs: the number of envs.
        parallel: run them in worker processes.
    """
    vector = ParallelEnv if parallel else SerialEnv
    env = vector(num_envs, partial(GymEnv, name, float32=True))
    return TransformedEnv(env, RewardSum())


def ended_returns(batch: TensorDictBase) -> torch.Tensor:
    """Return the undiscounted returns, [N], of the episodes that end in a batch from `make_env`."""
    following = batch["next"]
    return following["episode_reward"][following["done"]]


def evaluate_policy(
    name: str,
    policy: Callable[[TensorDictBase], TensorDictBase],
    episodes: int,
    *,
    seed: int,
    video: str | None = None,
) -> Evaluation:
    """Play `episodes` episodes without exploration, each from its own seed.

    Args:
        name: gymnasium id.
        policy: writes the action.
        episodes: the number of episodes, played side by side.
        seed: of the first episode; the others follow in the chain.
        video: where the first episode is recorded, an `.mp4` or `.gif` file.
    """
    env = SerialEnv(episodes, partial(GymEnv, name, float32=True))
    env.set_seed(seed)
    with torch.no_grad(), set_exploration_type(ExplorationType.DETERMINISTIC):
        batch = env.rollout(MAX_EVALUATION_STEPS, policy, break_when_all_done=True)
    env.close()
    if video is not None:
        _record(name, policy, seed, video)
    done = batch["next", "done"].squeeze(-1)
    alive = done.cumsum(-1) - done.int() == 0  # up to and with the step that ends the episode
    returns = (batch["next", "reward"].squeeze(-1) * alive).sum(-1)
    return Evaluation(returns.tolist(), alive.sum(-1).tolist())


def _record(name: str, policy: Callable, seed: int, video: str) -> None:
    env = GymEnv(name, float32=True, from_pixels=True, pixels_only=False)
    env.set_seed(seed)
    with torch.no_grad(), set_exploration_type(ExplorationType.DETERMINISTIC):
        frames = env.rollout(MAX_EVALUATION_STEPS, policy)["pixels"]
    fps = int(env.metadata.get("render_fps", 30))
    env.close()
    write_video(video, frames.permute(0, 3, 1, 2), fps=fps)
