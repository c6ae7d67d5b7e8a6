import cProfile
import pstats

import pytest


@pytest.fixture
def count_calls():
    """Count the Python and C calls of a function, after one warm-up call."""

    def count(function):
        function()
        profile = cProfile.Profile()
        profile.enable()
        function()
        profile.disable()
        return pstats.Stats(profile).total_calls

    return count
