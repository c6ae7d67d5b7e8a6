import logging

import pytest

from rl.core.logging import logger, rl_warnings, torchrl_logger, warn


def test_one_logger_named_after_the_library():
    assert logger is torchrl_logger is logging.getLogger("rl")


def test_the_library_installs_no_handler():
    assert logger.handlers == []
    assert logger.level == logging.NOTSET


@pytest.mark.parametrize(
    ("text", "wanted"), [(None, True), ("1", True), ("0", False), ("False", False), (" off", False)]
)
def test_warnings_are_wanted_unless_the_environment_says_otherwise(monkeypatch, text, wanted):
    monkeypatch.delenv("RL_WARNINGS", raising=False)
    if text is not None:
        monkeypatch.setenv("RL_WARNINGS", text)
    assert rl_warnings() is wanted


def test_warn_says_where_and_is_silenced(monkeypatch, recwarn):
    monkeypatch.setenv("RL_WARNINGS", "1")
    warn("slow", stacklevel=1)
    (found,) = recwarn
    assert (str(found.message), found.category, found.filename) == ("slow", UserWarning, __file__)
    monkeypatch.setenv("RL_WARNINGS", "0")
    warn("slow", stacklevel=1)
    assert len(recwarn) == 1
