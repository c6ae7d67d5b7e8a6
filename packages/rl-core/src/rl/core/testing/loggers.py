"""The conformance kit of loggers: do they take what every logger takes?"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from tensordict import TensorDict

from rl.core.loggers.base import Logger

__all__ = ["check_logger"]


def check_logger(
    make: Callable[[], Logger],
    read: Callable[[Logger, str], list[tuple[int, float]]],
    *,
    videos: bool = True,
) -> None:
    """Raise unless what `make` returns is a logger.

    It checks that scalars and metrics, of Python numbers, tensors and TensorDicts, are read back
    with their steps; that steps are counted by name, from 0 and on from a step that was given,
    and go on where a state was taken; that what is no number and no video is refused; that
    histograms, videos and settings are taken; and that the logger ends once.

    Args:
        make: returns a new logger, of a run of its own; it is called twice.
        read: returns what a logger holds of a name, as pairs of step and number, in the order of
            logging. The logger was flushed, and is open or closed.
        videos: whether the logger takes videos here.

    Raises:
        AssertionError: names the property that does not hold.

    Example:
        >>> import tempfile
        >>> from rl.core.loggers import CSVLogger
        >>> def read(logger, name):
        ...     lines = (logger.folder / "scalars" / f"{name}.csv").read_text().split()
        ...     return [(int(step), float(value)) for step, value in (l.split(",") for l in lines)]
        >>> check_logger(lambda: CSVLogger("run", tempfile.mkdtemp()), read)
    """
    with contextlib.ExitStack() as stack:
        logger, again = make(), make()
        for each in (logger, again):
            stack.callback(each.shutdown)
        _check_open(logger, again, videos)
    _check_numbers(logger, read)
    _require(
        read(again, "kit/loss") == [(13, 8.0)],
        again,
        "`load_state_dict` does not go on counting steps where `state_dict` was taken",
    )


def _check_open(logger: Logger, again: Logger, videos: bool) -> None:
    _require(logger.is_alive, logger, "a new logger is not alive")
    _require(logger.start().is_alive, logger, "`start` returns what is not alive")
    # settings come first: not every store takes them later
    logger.log_hparams({"lr": 0.1, "net": {"hidden": (64, 64), "act": torch.nn.ReLU}})
    _log_numbers(logger)
    _check_refusals(logger)
    _log_the_rest(logger, videos)
    again.load_state_dict(logger.state_dict())
    again.log_scalar("kit/loss", 8.0)
    for each in (logger, again):
        each.flush()
        each.close()
        each.shutdown()
        _require(not each.is_alive, each, "it is alive after `close`")


def _require(condition: bool, logger: Logger, message: str) -> None:
    if not condition:
        raise AssertionError(f"{type(logger).__name__} conformance: {message}.")


def _log_numbers(logger: Logger) -> None:
    logger.log_scalar("kit/loss", 0.5, step=10)
    logger.log_scalar("kit/loss", torch.tensor([0.25]))
    logger.log_scalar("kit/count", 3)
    metrics = TensorDict({"kit": {"loss": torch.tensor(0.125), "count": torch.tensor(4)}})
    got = logger.log_metrics(metrics)
    _require(
        got == {"kit/loss": 0.125, "kit/count": 4.0},
        logger,
        f"`log_metrics` returned {got}, expected the numbers by joined name",
    )
    logger.client().log_metrics({"kit": {"early": 1}}, step=2)


def _check_numbers(logger: Logger, read: Callable[[Logger, str], list[Any]]) -> None:
    expected = {
        "kit/loss": [(10, 0.5), (11, 0.25), (12, 0.125)],
        "kit/count": [(0, 3.0), (1, 4.0)],
        "kit/early": [(2, 1.0)],
    }
    for name, numbers in expected.items():
        found = read(logger, name)
        _require(found == numbers, logger, f"`{name}` is {found}, expected {numbers}")


def _check_refusals(logger: Logger) -> None:
    wrong: dict[str, Callable[[], object]] = {
        "a scalar of two elements": lambda: logger.log_scalar("kit/x", torch.zeros(2)),
        "a metric that is a word": lambda: logger.log_metrics({"kit/x": "high"}),
        "a video of floats": lambda: logger.log_video("kit/v", torch.zeros(2, 3, 4, 4)),
    }
    for what, call in wrong.items():
        try:
            call()
        except ValueError:
            continue
        _require(False, logger, f"{what} is taken, expected a ValueError")


def _log_the_rest(logger: Logger, videos: bool) -> None:
    logger.log_histogram("kit/weights", torch.randn(4, 5), step=1)
    logger.log_histogram("kit/list", [0.0, 1.0, 2.0], bins=2)
    if videos:
        video = torch.zeros(3, 1, 16, 16, dtype=torch.uint8)
        logger.log_video("kit/video", video, step=1, fps=4)
        logger.log_video("kit/video", video.expand(1, 3, 3, 16, 16))
