"""Conditions on trajectories as expressions: `(traj.reward.sum() > 9) & (traj.length < 5)`."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, NoReturn

from tensordict import NestedKey
from torch import Tensor

from rl.core.contract.keys import unravel_key
from rl.data.trajectories.trajectory import Trajectory

__all__ = ["TrajectoryPredicate", "traj"]

Keys = frozenset[NestedKey]


class TrajectoryPredicate:
    """A condition on trajectories; `&`, `|` and `~` make others of them.

    Args:
        fn: tells of a trajectory whether the condition holds.
        description: for messages.
        keys: the entries that `fn` reads.

    Example:
        >>> from tensordict import TensorDict
        >>> import torch
        >>> from rl.data import traj
        >>> good = (traj.reward.sum() > 2) & (traj.length < 5)
        >>> good(Trajectory(TensorDict({"next": {"reward": torch.ones(3, 1)}}, [3])))
        True
        >>> good
        TrajectoryPredicate((traj.reward.sum() > 2) & (traj.length < 5))
    """

    def __init__(
        self,
        fn: Callable[[Trajectory], bool],
        description: str = "predicate",
        keys: Keys | None = None,
    ) -> None:
        self.fn = fn
        self.description = description
        self._keys = keys if keys is not None else frozenset()

    def required_keys(self) -> Keys:
        """Return the entries that are read."""
        return self._keys

    def __call__(self, trajectory: Trajectory) -> bool:
        """Return whether the condition holds of a trajectory."""
        return bool(self.fn(trajectory))

    def __and__(self, other: TrajectoryPredicate) -> TrajectoryPredicate:
        return self._with(other, "&", lambda t: self(t) and other(t))

    def __or__(self, other: TrajectoryPredicate) -> TrajectoryPredicate:
        return self._with(other, "|", lambda t: self(t) or other(t))

    def __invert__(self) -> TrajectoryPredicate:
        return TrajectoryPredicate(lambda t: not self(t), f"~({self.description})", self._keys)

    def _with(
        self, other: TrajectoryPredicate, sign: str, fn: Callable[[Trajectory], bool]
    ) -> TrajectoryPredicate:
        if not isinstance(other, TrajectoryPredicate):
            return NotImplemented
        description = f"({self.description}) {sign} ({other.description})"
        return TrajectoryPredicate(fn, description, self._keys | other._keys)

    def __bool__(self) -> NoReturn:
        raise TypeError(
            f"`{self.description}` is true or false of a trajectory only: call it with one, and "
            "join conditions with `&`, `|` and `~` instead of `and`, `or` and `not`."
        )

    def __repr__(self) -> str:
        return f"TrajectoryPredicate({self.description})"


class _Expression:
    """A value of each trajectory, which comparisons turn into something else."""

    def __init__(
        self, value: Callable[[Trajectory], Any], description: str, keys: Keys = frozenset()
    ) -> None:
        self._value = value
        self._description = description
        self._keys = keys

    def _compare(self, sign: str, compare: Callable[[Any, Any], Any], other: object) -> Any:  # noqa: ANN401
        raise NotImplementedError

    def __gt__(self, other: object) -> Any:  # noqa: ANN401
        return self._compare(">", operator.gt, other)

    def __ge__(self, other: object) -> Any:  # noqa: ANN401
        return self._compare(">=", operator.ge, other)

    def __lt__(self, other: object) -> Any:  # noqa: ANN401
        return self._compare("<", operator.lt, other)

    def __le__(self, other: object) -> Any:  # noqa: ANN401
        return self._compare("<=", operator.le, other)

    def __eq__(self, other: object) -> Any:  # noqa: ANN401
        return self._compare("==", operator.eq, other)

    def __ne__(self, other: object) -> Any:  # noqa: ANN401
        return self._compare("!=", operator.ne, other)

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> NoReturn:
        raise TypeError(f"`{self._description}` is no condition: compare it, as in `... > 0`.")

    def __repr__(self) -> str:
        return self._description


class _Scalar(_Expression):
    """One number of each trajectory."""

    def _compare(
        self, sign: str, compare: Callable[[Any, Any], Any], other: object
    ) -> TrajectoryPredicate:
        value = self._value
        description = f"{self._description} {sign} {other!r}"
        return TrajectoryPredicate(
            lambda t: bool(compare(value(t), other)), description, self._keys
        )


class _Mask:
    """Whether a comparison holds, for each step."""

    def __init__(self, value: Callable[[Trajectory], Tensor], description: str, keys: Keys) -> None:
        self._value = value
        self._description = description
        self._keys = keys

    def any(self) -> TrajectoryPredicate:
        """Return the condition that it holds at some step."""
        value = self._value
        return TrajectoryPredicate(
            lambda t: bool(value(t).any()), f"({self._description}).any()", self._keys
        )

    def all(self) -> TrajectoryPredicate:
        """Return the condition that it holds at every step."""
        value = self._value
        return TrajectoryPredicate(
            lambda t: bool(value(t).all()), f"({self._description}).all()", self._keys
        )

    def _ambiguous(self, *_: object) -> NoReturn:
        raise TypeError(
            f"`{self._description}` has a value for each step. Say which count: "
            f"`({self._description}).any()` or `.all()`."
        )

    __bool__ = __call__ = __and__ = __or__ = __rand__ = __ror__ = __invert__ = _ambiguous

    def __repr__(self) -> str:
        return self._description


class _Field(_Expression):
    """An entry of the steps."""

    def _compare(self, sign: str, compare: Callable[[Any, Any], Any], other: object) -> _Mask:
        value = self._value
        return _Mask(
            lambda t: compare(value(t), other), f"{self._description} {sign} {other!r}", self._keys
        )

    def _reduce(self, name: str, reduce: Callable[[Tensor], Tensor]) -> _Scalar:
        value = self._value
        return _Scalar(lambda t: reduce(value(t)), f"{self._description}.{name}()", self._keys)

    def sum(self) -> _Scalar:
        """Sum over all steps."""
        return self._reduce("sum", lambda x: x.sum())

    def mean(self) -> _Scalar:
        """Mean over all steps."""
        return self._reduce("mean", lambda x: x.double().mean())

    def max(self) -> _Scalar:
        """Largest of all steps."""
        return self._reduce("max", lambda x: x.max())

    def min(self) -> _Scalar:
        """Smallest of all steps."""
        return self._reduce("min", lambda x: x.min())

    def first(self) -> _Scalar:
        """Value at the first step, which must be one number."""
        return self._reduce("first", lambda x: x[0].squeeze())

    def last(self) -> _Scalar:
        """Value at the last step, which must be one number."""
        return self._reduce("last", lambda x: x[-1].squeeze())

    def all(self) -> TrajectoryPredicate:
        """Return the condition that it is true at every step."""
        return _Mask(self._value, self._description, self._keys).all()

    def any(self) -> TrajectoryPredicate:
        """Return the condition that it is true at some step."""
        return _Mask(self._value, self._description, self._keys).any()


class _TrajectoryExpression:
    """Where expressions start; see `traj`."""

    @property
    def length(self) -> _Scalar:
        """Number of steps."""
        return _Scalar(lambda t: t.length, "traj.length")

    @property
    def total_reward(self) -> _Scalar:
        """Sum of rewards."""
        return _Scalar(lambda t: t.total_reward, "traj.total_reward", frozenset({"reward"}))

    def __getattr__(self, name: str) -> _Field:
        if name.startswith("_"):
            raise AttributeError(f"`traj.{name}` is no entry; write `traj[{name!r}]`.")
        return _Field(lambda t: t.get(name), f"traj.{name}", frozenset({name}))

    def __getitem__(self, key: NestedKey) -> _Field:
        key = unravel_key(key)
        return _Field(lambda t: t.get(key), f"traj[{key!r}]", frozenset({key}))

    def __repr__(self) -> str:
        return "traj"


#: Root of expressions. `traj.reward` and `traj["agents", "reward"]` are entries of the steps,
#: those of the root before those of `"next"`, with `sum`, `mean`, `max`, `min`, `first`, `last`;
#: `traj.length` and `traj.total_reward` are numbers. Comparing a number gives a condition;
#: comparing an entry gives one after `.any()` or `.all()`.
traj = _TrajectoryExpression()
