"""Annealing of a number that an object holds, such as a sampler's `beta`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Literal

from rl.core.errors import RLError, nearest

__all__ = [
    "LambdaScheduler",
    "LinearScheduler",
    "ParameterScheduler",
    "SchedulerList",
    "StepScheduler",
]


class ParameterScheduler(ABC):
    """Sets an attribute to a new value at each `step()`.

    Args:
        obj: holds the attribute, as a buffer's sampler does.
        param_name: name of the attribute, a number.
        min_value: values below are raised to it.
        max_value: values above are lowered to it.

    Raises:
        AttributeError: `obj` has no such attribute.

    Example:
        >>> from rl.data import ParameterScheduler, PrioritizedSampler
        >>> class Harmonic(ParameterScheduler):
        ...     def value_at(self, step):
        ...         return self.initial_value / (1 + step)
        >>> sampler = PrioritizedSampler(10, alpha=0.8, beta=0.4)
        >>> Harmonic(sampler, "alpha", min_value=0.1).step()
        >>> sampler.alpha
        0.4
    """

    def __init__(
        self,
        obj: object,
        param_name: str,
        min_value: float | None = None,
        max_value: float | None = None,
    ) -> None:
        if not hasattr(obj, param_name):
            names = [n for n in dir(obj) if not n.startswith("_")]
            raise AttributeError(
                f"`{type(obj).__name__}` has no attribute `{param_name}`. "
                f"{nearest(param_name, names)}"
            )
        self._obj = obj
        self._name = param_name
        self._min = float("-inf") if min_value is None else min_value
        self._max = float("inf") if max_value is None else max_value
        if self._min > self._max:
            raise ValueError(f"`min_value` is {min_value}, more than `max_value`, {max_value}.")
        self.initial_value = getattr(obj, param_name)
        self._steps = 0

    def step(self) -> None:
        """Go one step on and set the attribute."""
        self._steps += 1
        value = min(max(self.value_at(self._steps), self._min), self._max)
        setattr(self._obj, self._name, value)

    @abstractmethod
    def value_at(self, step: int) -> float:
        """Return the value after `step` steps, before it is clipped."""

    def state_dict(self) -> dict[str, Any]:
        """Return the position and the initial value."""
        return {"steps": self._steps, "initial_value": self.initial_value}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the state that `state_dict` returned; the attribute is left as it is."""
        self._steps = int(state_dict["steps"])
        self.initial_value = state_dict["initial_value"]


class LinearScheduler(ParameterScheduler):
    """Goes from the current value to another in equal steps, and stays there.

    Args:
        obj: holds the attribute.
        param_name: name of the attribute.
        final_value: value after `num_steps` steps.
        num_steps: number of steps, positive.

    Example:
        >>> from rl.data import PrioritizedSampler
        >>> sampler = PrioritizedSampler(10, alpha=0.6, beta=0.4)
        >>> scheduler = LinearScheduler(sampler, "beta", final_value=1.0, num_steps=3)
        >>> for _ in range(4):
        ...     scheduler.step()
        >>> sampler.beta
        1.0
    """

    def __init__(self, obj: object, param_name: str, final_value: float, num_steps: int) -> None:
        super().__init__(obj, param_name)
        if num_steps <= 0:
            raise ValueError(f"`num_steps` is {num_steps}, expected a positive number.")
        self.final_value = final_value
        self.num_steps = num_steps

    def value_at(self, step: int) -> float:
        """Return the point on the line."""
        if step >= self.num_steps:
            return self.final_value
        share = step / self.num_steps
        return self.initial_value + (self.final_value - self.initial_value) * share


class StepScheduler(ParameterScheduler):
    """Changes the value by a factor, or a summand, every `n_steps` steps.

    Args:
        obj: holds the attribute.
        param_name: name of the attribute.
        gamma: the factor or summand.
        n_steps: number of steps between changes.
        mode: `"multiplicative"` or `"additive"`.
        min_value: values below are raised to it.
        max_value: values above are lowered to it.

    Example:
        >>> from rl.data import PrioritizedSampler
        >>> sampler = PrioritizedSampler(10, alpha=0.8, beta=0.4)
        >>> scheduler = StepScheduler(sampler, "alpha", gamma=0.5, n_steps=2)
        >>> for _ in range(4):
        ...     scheduler.step()
        >>> sampler.alpha
        0.2
    """

    def __init__(
        self,
        obj: object,
        param_name: str,
        gamma: float = 0.9,
        n_steps: int = 1,
        mode: Literal["multiplicative", "additive"] = "multiplicative",
        min_value: float | None = None,
        max_value: float | None = None,
    ) -> None:
        super().__init__(obj, param_name, min_value, max_value)
        if mode not in ("multiplicative", "additive"):
            raise ValueError(f"`mode` is {mode!r}, expected 'multiplicative' or 'additive'.")
        if n_steps <= 0:
            raise ValueError(f"`n_steps` is {n_steps}, expected a positive number.")
        self.gamma = gamma
        self.n_steps = n_steps
        self.mode = mode

    def value_at(self, step: int) -> float:
        """Return the value after the changes so far."""
        changes = step // self.n_steps
        if self.mode == "additive":
            return self.initial_value + self.gamma * changes
        return self.initial_value * self.gamma**changes


class LambdaScheduler(ParameterScheduler):
    """Multiplies the initial value by a function of the number of steps.

    Args:
        obj: holds the attribute.
        param_name: name of the attribute.
        lambda_fn: takes the number of steps, returns the factor.

    Example:
        >>> from rl.data import PrioritizedSampler
        >>> sampler = PrioritizedSampler(10, alpha=0.8, beta=0.4)
        >>> LambdaScheduler(sampler, "alpha", lambda step: 1 / (1 + step)).step()
        >>> sampler.alpha
        0.4
    """

    def __init__(self, obj: object, param_name: str, lambda_fn: Callable[[int], float]) -> None:
        super().__init__(obj, param_name)
        self.lambda_fn = lambda_fn

    def value_at(self, step: int) -> float:
        """Return the initial value times the function's."""
        return self.initial_value * self.lambda_fn(step)


class SchedulerList:
    """Steps several schedulers together.

    Args:
        schedulers: the schedulers, one by one or as one list.

    Example:
        >>> SchedulerList().step()
    """

    def __init__(self, *schedulers: ParameterScheduler | list[ParameterScheduler]) -> None:
        self.schedulers: list[ParameterScheduler] = []
        for given in schedulers:
            self.schedulers += given if isinstance(given, list) else [given]

    def append(self, scheduler: ParameterScheduler) -> None:
        """Add a scheduler."""
        self.schedulers.append(scheduler)

    def step(self) -> None:
        """Go one step on with each."""
        for scheduler in self.schedulers:
            scheduler.step()

    def state_dict(self) -> list[dict[str, Any]]:
        """Return the state of each."""
        return [scheduler.state_dict() for scheduler in self.schedulers]

    def load_state_dict(self, state_dict: list[dict[str, Any]]) -> None:
        """Take the state that `state_dict` returned.

        Raises:
            RLError: it is of another number of schedulers.
        """
        if len(state_dict) != len(self.schedulers):
            raise RLError(
                f"The state is of {len(state_dict)} schedulers, expected {len(self.schedulers)}."
            )
        for scheduler, state in zip(self.schedulers, state_dict, strict=True):
            scheduler.load_state_dict(state)
