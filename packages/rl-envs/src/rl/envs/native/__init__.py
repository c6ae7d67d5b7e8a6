"""Native environments, written in torch."""

from rl.envs.native.pendulum import PendulumEnv
from rl.envs.native.tic_tac_toe import TicTacToeEnv

__all__ = ["PendulumEnv", "TicTacToeEnv"]
