"""Invertible maps between values and what a critic predicts."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from rl.core.errors import RLError
from rl.core.modules.functional import (
    check_epsilon,
    signed_hyperbolic,
    signed_parabolic,
    symexp,
    symlog,
)

__all__ = [
    "ComposeValueTransform",
    "IdentityValueTransform",
    "SignedHyperbolicValueTransform",
    "SymLogValueTransform",
    "ValueTransform",
]


class ValueTransform(nn.Module, ABC):
    """An element-wise map from values to the space that a critic predicts in, and back.

    Subclasses write `forward` and `inverse`.

    Example:
        >>> import torch
        >>> class Halve(ValueTransform):
        ...     def forward(self, value):
        ...         return value / 2
        ...     def inverse(self, value):
        ...         return value * 2
        >>> halve = Halve()
        >>> halve.inverse(halve(torch.tensor([3.0])))
        tensor([3.])
    """

    @abstractmethod
    def forward(self, value: Tensor) -> Tensor:
        """Return the transformed value, of the same shape."""

    @abstractmethod
    def inverse(self, value: Tensor) -> Tensor:
        """Return the value whose transform is given."""


class IdentityValueTransform(ValueTransform):
    """Leave values as they are.

    Example:
        >>> import torch
        >>> IdentityValueTransform()(torch.tensor([3.0]))
        tensor([3.])
    """

    def forward(self, value: Tensor) -> Tensor:
        """Return `value`."""
        return value

    def inverse(self, value: Tensor) -> Tensor:
        """Return `value`."""
        return value


class SymLogValueTransform(ValueTransform):
    """`symlog` and its inverse `symexp` (Hafner et al. 2023, "Robust predictions").

    Example:
        >>> import torch
        >>> SymLogValueTransform()(torch.tensor([-100.0, 0.0, 100.0]))
        tensor([-4.6151,  0.0000,  4.6151])
    """

    def forward(self, value: Tensor) -> Tensor:
        """Return `symlog(value)`."""
        return symlog(value)

    def inverse(self, value: Tensor) -> Tensor:
        """Return `symexp(value)`."""
        return symexp(value)


class SignedHyperbolicValueTransform(ValueTransform):
    """`signed_hyperbolic` and its inverse `signed_parabolic` (Pohlen et al. 2018, section 3.1).

    Args:
        epsilon: slope for large values, positive.

    Raises:
        RLError: `epsilon` is not positive.

    Example:
        >>> import torch
        >>> SignedHyperbolicValueTransform()(torch.tensor([-100.0, 0.0, 100.0]))
        tensor([-9.1499,  0.0000,  9.1499])
    """

    def __init__(self, epsilon: float = 1e-3) -> None:
        super().__init__()
        check_epsilon(epsilon)
        self.epsilon = epsilon

    def forward(self, value: Tensor) -> Tensor:
        """Return `signed_hyperbolic(value)`."""
        return signed_hyperbolic(value, self.epsilon)

    def inverse(self, value: Tensor) -> Tensor:
        """Return `signed_parabolic(value)`."""
        return signed_parabolic(value, self.epsilon)

    def extra_repr(self) -> str:
        """Return the arguments, for `repr`."""
        return f"epsilon={self.epsilon}"


class ComposeValueTransform(ValueTransform):
    """Several transforms, one after the other.

    Args:
        transforms: applied in this order; inverted in the opposite one.

    Raises:
        RLError: there is no transform, or something else is given.

    Example:
        >>> import torch
        >>> both = ComposeValueTransform(SignedHyperbolicValueTransform(), SymLogValueTransform())
        >>> both(torch.tensor([-100.0, 0.0, 100.0]))
        tensor([-2.3175,  0.0000,  2.3175])
    """

    def __init__(self, *transforms: ValueTransform) -> None:
        super().__init__()
        if not transforms:
            raise RLError(
                "`ComposeValueTransform` was given no transform: pass at least one, such as "
                "`IdentityValueTransform()`."
            )
        for transform in transforms:
            if not isinstance(transform, ValueTransform):
                raise RLError(
                    f"`ComposeValueTransform` was given a `{type(transform).__name__}`, expected "
                    "instances of `ValueTransform`: pass them one by one, not in a list."
                )
        self.transforms = nn.ModuleList(transforms)

    def forward(self, value: Tensor) -> Tensor:
        """Return the value after all transforms."""
        for transform in self.transforms:
            value = transform(value)
        return value

    def inverse(self, value: Tensor) -> Tensor:
        """Return the value before all transforms."""
        for transform in reversed(self.transforms):
            value = transform.inverse(value)
        return value
