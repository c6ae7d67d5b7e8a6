"""Loggers by name, and names for experiments."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from rl.core.errors import RLError
from rl.core.loggers.base import Logger
from rl.core.loggers.process import LOGGER_CALLS, ProcessLogger, ServedLogger, made_logger
from rl.core.registry import Registry
from rl.core.services.backends import load_service_backend
from rl.core.services.base import ServiceBackend
from rl.core.services.defaults import default_service_backend

__all__ = ["LOGGERS", "generate_exp_name", "get_logger"]

LOGGERS = Registry("rl.loggers")


def get_logger(
    logger_type: str | None,
    logger_name: str,
    experiment_name: str,
    *,
    state_dict: Mapping[str, Any] | None = None,
    service_backend: ServiceBackend | str | None = None,
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
        service_backend: where it runs: `"process"` in a process of its own (see `ProcessLogger`),
            `"thread"` in a thread, another one as its wheel says (see `ServedLogger`); by default
            what the context manager `service_backend` set, else `"direct"`: here.
        service_backend_options: of the backend: `max_queue_size`, `startup_timeout`, `timeout`;
            `mp_context` of `"process"`, `transport` of `"thread"`.
        **kwargs: `csv_kwargs={...}`, `tensorboard_kwargs={...}`, ...: constructor arguments of
            each type; those of other types are ignored.

    Raises:
        NotRegisteredError: the type or the backend is unknown; the message suggests the nearest.
        MissingDependencyError: its library is not installed, or the wheel of the backend; the
            message says what to install.
        RLError: the backend is `"direct"` and has options.
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
    make = partial(cls.in_folder, experiment_name, logger_name, **own)
    backend = service_backend or default_service_backend("direct")
    logger = _run(make, backend, dict(service_backend_options or {}))
    if state_dict is not None:
        logger.load_state_dict(state_dict)
    return logger


def _run(make: Callable[[], Logger], backend: str, options: dict[str, Any]) -> Logger:
    if backend == "process":
        return ProcessLogger(make, **options)
    if backend != "direct":
        load = load_service_backend(backend)
        service = load(partial(made_logger, make), LOGGER_CALLS, name="logger", **options)
        return ServedLogger(service)
    if options:
        raise RLError(
            f"`service_backend_options` are {options}, and the logger runs here: leave them out, "
            'or take `service_backend="process"`.'
        )
    return make()


def generate_exp_name(model_name: str, experiment_name: str) -> str:
    """Return a name no other run has: model, experiment, eight random digits, the time.

    Example:
        >>> generate_exp_name("PPO", "cartpole").startswith("PPO_cartpole_")
        True
    """
    stamp = datetime.now().strftime("%y_%m_%d-%H_%M_%S")
    return f"{model_name}_{experiment_name}_{uuid.uuid4().hex[:8]}_{stamp}"
