import cProfile
import functools
import pstats

import pytest

from rl.envs.libs import GymEnv
from rl.envs.testing import CountingEnv
from rl.envs.vector import SerialEnv


def test_items_are_the_envs():
    envs = [CountingEnv(max_steps=2), CountingEnv(max_steps=3)]
    serial = SerialEnv(2, [lambda: envs[0], lambda: envs[1]])
    assert serial[0] is envs[0]
    assert serial[-1] is envs[1]
    with pytest.raises(IndexError, match="has 2"):
        serial[2]


def test_close_closes_every_env():
    serial = SerialEnv(2, CountingEnv)
    serial.close()
    assert all(env.is_closed for env in serial.backend.group.envs)


def test_calls_per_step():
    env = SerialEnv(8, functools.partial(GymEnv, "Pendulum-v1"))
    raw = [env[row]._env for row in range(8)]
    td = env.rand_action(env.reset())
    env.step_next(td)
    action = td["action"][0].numpy()
    counts = []
    for run in (lambda: [one.step(action) for one in raw], lambda: env.step_next(td)):
        profile = cProfile.Profile()
        profile.enable()
        run()
        profile.disable()
        counts.append(pstats.Stats(profile).total_calls)
    # what comes on top of the simulators: 7 calls per env and 47 for the batch, with some slack
    assert counts[1] - counts[0] <= 115
