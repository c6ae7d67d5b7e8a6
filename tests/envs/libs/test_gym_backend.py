import gymnasium
import pytest

from rl.core import MissingDependencyError
from rl.envs.libs import gym_backend, set_gym_backend


def test_gymnasium_is_the_default():
    assert gym_backend().__name__ == "gymnasium"
    assert gym_backend("spaces") is gymnasium.spaces


def test_context_decorator_and_nesting():
    with set_gym_backend("json"):
        assert gym_backend().__name__ == "json"
        with set_gym_backend(gymnasium):
            assert gym_backend() is gymnasium
        assert gym_backend("decoder").__name__ == "json.decoder"

    @set_gym_backend(lambda: gymnasium)
    def inside():
        return gym_backend()

    assert inside() is gymnasium
    assert gym_backend().__name__ == "gymnasium"


def test_set_lasts():
    set_gym_backend("json").set()
    try:
        assert gym_backend().__name__ == "json"
    finally:
        set_gym_backend("gymnasium").set()
    assert gym_backend() is gymnasium


def test_missing_module():
    with pytest.raises(MissingDependencyError, match="pip install"):
        set_gym_backend("no_such_gym")
