"""The value estimators by name, and their default hyper-parameters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from rl.core.errors import NotRegisteredError, nearest

__all__ = [
    "ValueEstimatorEntry",
    "ValueEstimators",
    "build_value_estimator",
    "default_value_kwargs",
    "get_value_estimator_entry",
    "register_value_estimator",
]


class ValueEstimators(Enum):
    """The estimators that `LossModule.make_value_estimator` builds by name.

    Example:
        >>> ValueEstimators["GAE"].value
        'Generalized advantage estimate'
    """

    TD0 = "Bootstrapped TD (1-step return)"
    TD1 = "TD(1) (infinity-step return)"
    TDLambda = "TD(lambda)"
    GAE = "Generalized advantage estimate"
    MAGAE = "Multi-agent generalized advantage estimate"
    VTrace = "V-trace"


@dataclass(frozen=True)
class ValueEstimatorEntry:
    """A registered estimator: its class and default arguments."""

    estimator: type
    default_kwargs: dict[str, Any] = field(default_factory=dict)


_ENTRIES: dict[str, ValueEstimatorEntry] = {}


def register_value_estimator(
    value_type: ValueEstimators | str, default_kwargs: dict[str, Any] | None = None
) -> Callable[[type], type]:
    """Return a class decorator that registers an estimator.

    Args:
        value_type: a member of `ValueEstimators` or a name of your own.
        default_kwargs: arguments given to the class unless the user gives others.

    Example:
        >>> from rl.objectives.value import TD0Estimator
        >>> @register_value_estimator("MyTD0", default_kwargs={"gamma": 0.5})
        ... class MyTD0(TD0Estimator):
        ...     pass
        >>> default_value_kwargs("MyTD0")
        {'gamma': 0.5}
    """

    def register(estimator: type) -> type:
        _ENTRIES[_name(value_type)] = ValueEstimatorEntry(estimator, dict(default_kwargs or {}))
        return estimator

    return register


def get_value_estimator_entry(value_type: ValueEstimators | str) -> ValueEstimatorEntry:
    """Return what is registered under `value_type`; names are matched without case.

    Raises:
        NotRegisteredError: suggests the nearest name.
    """
    name = _name(value_type)
    for known, entry in _ENTRIES.items():
        if known.lower() == name.lower():
            return entry
    raise NotRegisteredError(
        f"Value estimator `{name}` is not registered. {nearest(name, _ENTRIES)}"
    )


def default_value_kwargs(value_type: ValueEstimators | str) -> dict[str, Any]:
    """Return a copy of the default hyper-parameters of an estimator.

    Example:
        >>> default_value_kwargs(ValueEstimators.GAE)
        {'gamma': 0.99, 'lmbda': 0.95, 'differentiable': True}
    """
    return dict(get_value_estimator_entry(value_type).default_kwargs)


def build_value_estimator(value_type: ValueEstimators | str, **kwargs: Any) -> Any:  # noqa: ANN401
    """Build an estimator from its defaults, updated with `kwargs`."""
    entry = get_value_estimator_entry(value_type)
    return entry.estimator(**{**entry.default_kwargs, **kwargs})


def _name(value_type: ValueEstimators | str) -> str:
    return value_type.name if isinstance(value_type, ValueEstimators) else value_type
