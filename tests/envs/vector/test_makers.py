import functools

import pytest

from rl.core import RLError
from rl.envs.testing import CountingEnv
from rl.envs.vector.makers import makers_of


def test_one_function_for_all():
    assert [make().max_steps for make in makers_of(2, CountingEnv)] == [5, 5]
    assert [make().max_steps for make in makers_of(2, CountingEnv, {"max_steps": 3})] == [3, 3]


def test_one_function_per_env():
    makers = makers_of(2, [functools.partial(CountingEnv, 2), lambda: CountingEnv(4)])
    assert [make().max_steps for make in makers] == [2, 4]
    makers = makers_of(2, CountingEnv, [{"max_steps": 1}, {}])
    assert [make().max_steps for make in makers] == [1, 5]


def test_mistakes():
    with pytest.raises(RLError, match="expected 1 or more"):
        makers_of(0, CountingEnv)
    with pytest.raises(RLError, match="pass one per env"):
        makers_of(3, [CountingEnv, CountingEnv])
    with pytest.raises(RLError, match="Pass a lambda or the class"):
        makers_of(1, CountingEnv())
