"""Loggers by name, and names for experiments."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from rl.core.errors import RLError
from rl.core.loggers.base import Logger
from rl.core.loggers.process import ProcessLogger
from rl.core.registry import Registry

__all__ = ["LOGGERS", "generate_exp_name", "get_logger"]

LOGGERS = Registry("rl.loggers")


def get_logger(
    logger_type: str | None,
    logger_name: str,
    experiment_name: str,
    *,
    state_dict: Mapping[str, Any] | None = None,
    service_backend: Literal["direct", "process"] | None = None,
    service_backend_options: Mapping[str, Any] | None = None,
    **kwargs: Mapping[str, Any],
) -> Logger | None:
    """Return a new logger of a registered type, `None` when the type is `None` or empty.

    Args:
        logger_type: `"csv"`, `"tensorboard"`, `"wandb"`, `"mlflow"`, `"trackio"`, or what an
            installed wheel registers under `rl.loggers`.
        logger_name: the folder that logs go to.
        experiment_name: the experiment's name.
        state_dict: from a logger of the run that this one continues.
        service_backend: `"process"` runs it in a process of its own; see `ProcessLogger`.
        service_backend_options: of `ProcessLogger`: `mp_context`, `max_queue_size`,
            `startup_timeout`, `timeout`.
        **kwargs: `csv_kwargs={...}`, `tensorboard_kwargs={...}`, ...: constructor arguments of
            each type; those of other types are ignored.

    Raises:
        NotRegisteredError: the type is unknown; the message suggests the nearest.
        MissingDependencyError: its library is not installed; the message names the extra.
        RLError: the backend is unknown, or has options it does not take.
        TypeError: an argument is not called `<type>_kwargs`.

    Example:
        >>> import tempfile
        >>> get_logger("csv", tempfile.mkdtemp(), "run", csv_kwargs={"video_fps": 12}).video_fps
        12
        >>> get_logger("", "logs", "run") is None
        True
    """
    for name in kwargs:
        if not name.endswith("_kwargs"):
            raise TypeError(
                f"`get_logger` got `{name}`. Constructor arguments go in a dict by type, such as "
                f"`{logger_type}_kwargs={{{name!r}: ...}}`."
            )
    if not logger_type:
        return None
    cls: Any = LOGGERS.load(logger_type)
    own = dict(kwargs.get(f"{logger_type}_kwargs", {}))
    if state_dict is not None:
        own = {**cls.resume_arguments(state_dict), **own}
    options = dict(service_backend_options or {})
    if service_backend == "process":
        logger = ProcessLogger(cls.in_folder, experiment_name, logger_name, **options, **own)
    elif service_backend not in (None, "direct") or options:
        raise RLError(
            f"`service_backend` is {service_backend!r} with options {options}, expected None or "
            "'direct' without options, or 'process'."
        )
    else:
        logger = cls.in_folder(experiment_name, logger_name, **own)
    if state_dict is not None:
        logger.load_state_dict(state_dict)
    return logger


def generate_exp_name(model_name: str, experiment_name: str) -> str:
    """Return a name no other run has: model, experiment, eight random digits, the time.

    Example:
        >>> generate_exp_name("PPO", "cartpole").startswith("PPO_cartpole_")
        True
    """
    stamp = datetime.now().strftime("%y_%m_%d-%H_%M_%S")
    return f"{model_name}_{experiment_name}_{uuid.uuid4().hex[:8]}_{stamp}"
