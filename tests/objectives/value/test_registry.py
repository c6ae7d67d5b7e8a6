"""Estimators by name."""

import pytest

from rl.core.errors import NotRegisteredError
from rl.objectives.value import (
    GAE,
    TD0Estimator,
    ValueEstimators,
    build_value_estimator,
    default_value_kwargs,
    get_value_estimator_entry,
    register_value_estimator,
)


def test_every_member_is_registered():
    for member in ValueEstimators:
        assert default_value_kwargs(member)["gamma"] == 0.99


def test_defaults_are_copies():
    default_value_kwargs(ValueEstimators.GAE)["gamma"] = 0.1
    assert default_value_kwargs(ValueEstimators.GAE)["gamma"] == 0.99


def test_build_updates_defaults():
    gae = build_value_estimator("gae", value_network=None, lmbda=0.5)
    assert isinstance(gae, GAE)
    assert (gae.gamma, gae.lmbda) == (0.99, 0.5)


def test_a_custom_estimator():
    @register_value_estimator("Mine", default_kwargs={"gamma": 0.3})
    class Mine(TD0Estimator):
        pass

    assert get_value_estimator_entry("mine").estimator is Mine
    assert build_value_estimator("Mine", value_network=None).gamma == 0.3


def test_unknown_name():
    with pytest.raises(NotRegisteredError, match="Did you mean `TDLambda`"):
        default_value_kwargs("TDLamda")
