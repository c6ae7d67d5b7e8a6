"""Choice specs: one of several specs or objects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
from tensordict import is_non_tensor
from torch import Tensor

from rl.core.errors import SpecError
from rl.core.specs.base import TensorSpec

__all__ = ["Choice"]


class Choice(TensorSpec):
    """A value of one of several specs, or one of several wrapped objects, drawn uniformly.

    Args:
        choices: specs of one shape, dtype and device, or `NonTensorData` of one batch shape.

    Raises:
        SpecError: there are none, or they differ in kind or shape.

    Example:
        >>> from rl.core.specs import Bounded
        >>> spec = Choice([Bounded(0, 1, (2,)), Bounded(3, 4, (2,))])
        >>> spec.is_in(torch.tensor([3.5, 3.5])), spec.is_in(torch.tensor([0.5, 3.5]))
        (True, False)
    """

    def __init__(self, choices: Sequence[Any]) -> None:
        choices = list(choices)
        if not choices:
            raise SpecError("`Choice` got no choices: give at least one spec or `NonTensorData`.")
        specs = [isinstance(choice, TensorSpec) for choice in choices]
        if not all(specs) and not all(is_non_tensor(choice) for choice in choices):
            kinds = sorted({type(choice).__name__ for choice in choices})
            raise SpecError(
                f"`Choice` got {', '.join(kinds)}: give specs only, or objects wrapped as "
                "`NonTensorData(object)` only."
            )
        of = ("shape", "dtype", "device") if specs[0] else ("shape",)
        facts = {tuple(getattr(choice, name) for name in of) for choice in choices}
        if len(facts) > 1:
            raise SpecError(
                f"The choices differ in {', '.join(of)}: {sorted(map(str, facts))}. Give choices "
                "that agree, or use `torch.stack` for a lazy stack of different specs."
            )
        first = choices[0]
        super().__init__(first.shape, None, first.device, getattr(first, "dtype", None), None)
        self.device = first.device
        self.dtype = getattr(first, "dtype", None) if specs[0] else None
        self._choices = choices
        self._of_specs = specs[0]

    @property
    def num_choices(self) -> int:
        """Number of choices."""
        return len(self._choices)

    def _pick(self) -> Any:  # noqa: ANN401
        return self._choices[int(torch.randint(len(self._choices), ()))]

    def rand(self, shape: int | Sequence[int] | None = None) -> Any:  # noqa: ANN401
        """Draw a choice, then a value of it; extra batch elements share the choice.

        Args:
            shape: extra batch dimensions, before the spec's own.
        """
        return self._value(self._pick(), "rand", shape)

    def zero(self, shape: int | Sequence[int] | None = None) -> Any:  # noqa: ANN401
        """Return zeros of the first choice, or the first object."""
        return self._value(self._choices[0], "zero", shape)

    def one(self, shape: int | Sequence[int] | None = None) -> Any:  # noqa: ANN401
        """Return ones of the first choice, or the first object."""
        return self._value(self._choices[0], "one", shape)

    def _value(self, choice: Any, name: str, shape: int | Sequence[int] | None) -> Any:  # noqa: ANN401
        if self._of_specs:
            return getattr(choice, name)(shape)
        return choice.expand(self._full_shape(shape)) if shape else choice.clone()

    def is_in(self, val: Any) -> bool:  # noqa: ANN401
        """Return whether some choice holds `val`."""
        if self._of_specs:
            return any(choice.is_in(val) for choice in self._choices)
        data = val.tolist() if is_non_tensor(val) else val
        return any(choice.tolist() == data for choice in self._choices)

    def project(self, val: Any) -> Any:  # noqa: ANN401
        """Return `val` if some choice holds it, else its projection on the nearest choice.

        Raises:
            SpecError: the choices are objects, which have no distance.
        """
        if self.is_in(val):
            return val
        if not self._of_specs:
            raise SpecError(f"{val!r} is none of the choices and cannot be projected: encode one.")
        candidates = [choice.project(val) for choice in self._choices]
        gaps = [float((c.double() - val.double()).abs().sum()) for c in candidates]
        return candidates[gaps.index(min(gaps))]

    def encode(self, val: Any, *, ignore_device: bool = False) -> Any:  # noqa: ANN401
        """Encode as the first choice does; wrapped objects are returned as they are."""
        if self._of_specs:
            return self._choices[0].encode(val, ignore_device=ignore_device)
        return val

    def to_numpy(self, val: Any, safe: bool | None = None) -> Any:  # noqa: ANN401
        """Return numpy as the first choice does, or the object itself."""
        if safe:
            self.assert_is_in(val)
        if self._of_specs:
            return self._choices[0].to_numpy(val)
        return val.tolist() if is_non_tensor(val) else val

    def type_check(self, value: Any, key: Any = None) -> None:  # noqa: ANN401
        """Raise unless `value` has the dtype that the choices share; accept any object."""
        if self._of_specs:
            super().type_check(value, key)

    def cardinality(self) -> int | float:
        """Return the sum of the choices' cardinalities, or the number of objects."""
        if self._of_specs:
            return sum(choice.cardinality() for choice in self._choices)
        return len(self._choices)

    def enumerate(self, use_mask: bool = False) -> Any:  # noqa: ANN401
        """Return every value of every choice, or the objects, stacked along a new dimension."""
        if self._of_specs:
            return torch.cat([choice.enumerate(use_mask) for choice in self._choices])
        return torch.stack(list(self._choices))

    def _view(self, op: Callable[[Tensor], Tensor]) -> Self:
        new = super()._view(op)
        if self._of_specs:
            new._choices = [choice._view(op) for choice in self._choices]
        else:
            new._choices = [_rewrapped(choice, new.shape) for choice in self._choices]
        return new

    def clone(self) -> Self:
        """Return a copy that shares nothing mutable with this spec."""
        new = self._copy()
        new._choices = [choice.clone() for choice in self._choices]
        return new

    def _to_device(self, device: torch.device) -> Self:
        new = self._copy()
        new.device = device
        new._choices = [choice.to(device) for choice in self._choices]
        return new

    def _to_dtype(self, dtype: torch.dtype) -> Self:
        if not self._of_specs:
            return self
        return type(self)([choice.to(dtype) for choice in self._choices])

    def _identity(self) -> tuple:
        choices = self._choices if self._of_specs else [choice.tolist() for choice in self._choices]
        return (self.shape, self.device, self._of_specs, tuple(choices))

    def __repr__(self) -> str:
        return f"Choice(shape={list(self.shape)}, choices={self._choices})"


def _rewrapped(choice: Any, shape: torch.Size) -> Any:  # noqa: ANN401
    """Return the wrapped object with another batch shape."""
    return type(choice)(choice.data, batch_size=shape, device=choice.device)
