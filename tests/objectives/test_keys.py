"""Renaming keys."""

from dataclasses import dataclass

import pytest

from rl.objectives.keys import key_names, renamed_keys


@dataclass(frozen=True)
class Keys:
    reward: str = "reward"
    done: str = "done"


def test_rename_and_restore():
    keys = renamed_keys("Loss", Keys(), reward=("agents", ("reward",)))
    assert keys == Keys(reward=("agents", "reward"))
    assert renamed_keys("Loss", keys, reward=None) == Keys()
    assert key_names(Keys) == ["reward", "done"]


def test_unknown():
    with pytest.raises(ValueError, match=r"Did you mean `reward`.*accepts: `reward`, `done`"):
        renamed_keys("Loss", Keys(), rewards="x")
