"""rl.envs."""
from rl.envs.base import *  # noqa: F403
from rl.envs.transformed import *  # noqa: F403
from rl.envs.libs import *  # noqa: F403
