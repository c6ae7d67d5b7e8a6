"""Adapters: one module per simulator library."""

from rl.envs.libs.gym import GymEnv, GymWrapper
from rl.envs.libs.gym_backend import gym_backend, set_gym_backend
from rl.envs.libs.gym_codecs import register_gym_spec_conversion
from rl.envs.libs.gym_like import GymLikeEnv
from rl.envs.libs.gym_spaces import gym_space_to_spec
from rl.envs.libs.info_readers import BaseInfoDictReader, default_info_dict_reader

__all__ = [
    "BaseInfoDictReader",
    "GymEnv",
    "GymLikeEnv",
    "GymWrapper",
    "default_info_dict_reader",
    "gym_backend",
    "gym_space_to_spec",
    "register_gym_spec_conversion",
    "set_gym_backend",
]
