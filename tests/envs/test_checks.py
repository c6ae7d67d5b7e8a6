"""`check_env_specs` reports every mismatch at once."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from rl.core import Bounded, Composite, SpecError, Unbounded
from rl.envs.checks import check_env_specs, find_mismatches
from rl.envs.testing import CountingEnv, NestedCountingEnv, StringEnv


@pytest.mark.parametrize(
    "env",
    [CountingEnv(), CountingEnv(batch_size=(2,)), NestedCountingEnv(batch_size=(2,)), StringEnv()],
)
def test_sound_envs_pass(env):
    assert find_mismatches(env) == []
    check_env_specs(env)


class Wrong(CountingEnv):
    def __init__(self):
        super().__init__()
        self.observation_spec = Composite(
            observation=Bounded(0, 0.5, (1,)), velocity=Unbounded((2,))
        )

    def _step(self, tensordict):
        following = super()._step(tensordict)
        following["reward"] = following["reward"].squeeze(-1)
        following["info"] = torch.ones(3)
        return following


def test_all_mismatches_come_in_one_table():
    with pytest.raises(SpecError) as caught:
        check_env_specs(Wrong())
    text = str(caught.value)
    assert "5 place(s)" in text
    assert "write `velocity` in `_reset`" in text
    assert "write `velocity` in `_step`" in text
    assert "add the trailing dim: `reward.unsqueeze(-1)`" in text
    assert "add `info` to `observation_spec`" in text
    assert "values in [0.0, 0.5]" in text
    assert text.splitlines()[1].split() == ["key", "phase", "expected", "got", "fix"]


def test_float64_suggests_the_transform():
    class Double(CountingEnv):
        def _make(self, leaves):
            made = super()._make(leaves)
            return made.set("observation", made["observation"].double())

    with pytest.raises(SpecError, match="DoubleToFloat"):
        check_env_specs(Double())
    check_env_specs(CountingEnv(), check_dtype=False)


def test_random_state_is_put_back():
    torch.manual_seed(3)
    np.random.seed(3)
    random.seed(3)
    expected = torch.rand(1), np.random.rand(), random.random()
    torch.manual_seed(3)
    np.random.seed(3)
    random.seed(3)
    check_env_specs(CountingEnv())
    assert (torch.rand(1), np.random.rand(), random.random()) == expected
