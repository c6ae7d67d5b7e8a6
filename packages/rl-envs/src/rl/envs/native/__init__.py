"""Native environments, written in torch."""

from rl.envs.native.pendulum import PendulumEnv

__all__ = ["PendulumEnv"]
