import logging

from rl.core.logging import logger, torchrl_logger


def test_one_logger_named_after_the_library():
    assert logger is torchrl_logger is logging.getLogger("rl")


def test_the_library_installs_no_handler():
    assert logger.handlers == []
    assert logger.level == logging.NOTSET
