"""Scalar maps that compress large values, and their inverses; element-wise and odd."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from rl.core.errors import RLError

__all__ = ["signed_hyperbolic", "signed_parabolic", "symexp", "symlog"]


def symlog(value: Tensor) -> Tensor:
    """Return `sign(x) log(1 + |x|)` (Hafner et al. 2023, "Robust predictions").

    The derivative at 0 is 1.

    Args:
        value: a floating tensor.

    Raises:
        RLError: the tensor is not floating.

    Example:
        >>> symlog(torch.tensor([-100.0, 0.0, 100.0]))
        tensor([-4.6151,  0.0000,  4.6151])
    """
    return _odd(torch.log1p, _floating("symlog", value))


def symexp(value: Tensor) -> Tensor:
    """Return `sign(x) (exp(|x|) - 1)`, the inverse of `symlog`.

    Args:
        value: a floating tensor.

    Raises:
        RLError: the tensor is not floating.

    Example:
        >>> symexp(torch.tensor([-1.0, 0.0, 1.0]))
        tensor([-1.7183,  0.0000,  1.7183])
    """
    return _odd(torch.expm1, _floating("symexp", value))


def signed_hyperbolic(value: Tensor, epsilon: float = 1e-3) -> Tensor:
    """Return `sign(x) (sqrt(|x| + 1) - 1) + epsilon x` (Pohlen et al. 2018, section 3.1).

    Args:
        value: a floating tensor.
        epsilon: slope for large values; positive, so that the inverse is Lipschitz.

    Raises:
        RLError: the tensor is not floating, or `epsilon` is not positive.

    Example:
        >>> signed_hyperbolic(torch.tensor([-100.0, 0.0, 100.0]))
        tensor([-9.1499,  0.0000,  9.1499])
    """
    check_epsilon(epsilon)
    return _odd(_root, _floating("signed_hyperbolic", value)) + epsilon * value


def signed_parabolic(value: Tensor, epsilon: float = 1e-3) -> Tensor:
    """Return the inverse of `signed_hyperbolic` (Pohlen et al. 2018, proposition A.2).

    Args:
        value: a floating tensor.
        epsilon: that of `signed_hyperbolic`.

    Raises:
        RLError: the tensor is not floating, or `epsilon` is not positive.

    Example:
        >>> signed_parabolic(signed_hyperbolic(torch.tensor([-100.0, 0.0, 100.0])))
        tensor([-100.0000,    0.0000,  100.0000])
    """
    check_epsilon(epsilon)

    def parabola(x: Tensor) -> Tensor:
        # The paper's ((sqrt(1 + 4 eps (x + 1 + eps)) - 1) / (2 eps))^2 - 1, in a form that
        # subtracts nothing: with w the root less one, it is w (w + 2).
        root = torch.sqrt(1 + 4 * epsilon * (x + 1 + epsilon))
        excess = 2 * x / (root + 1 + 2 * epsilon)
        return excess * (excess + 2)

    return _odd(parabola, _floating("signed_parabolic", value))


def check_epsilon(epsilon: float) -> None:
    """Check the slope of the hyperbolic map.

    Raises:
        RLError: it is not positive.
    """
    if not epsilon > 0:
        raise RLError(
            f"`epsilon` is {epsilon}, expected a positive number: without the linear term the "
            "inverse is not Lipschitz. Use the default, 1e-3."
        )


def _odd(function: Callable[[Tensor], Tensor], value: Tensor) -> Tensor:
    """Return `sign(x) function(|x|)` for a `function` that is 0 at 0.

    `sign` has no derivative at 0. Of the two halves, `clamp` passes the gradient there and `relu`
    does not, so that the sum has that of `function`.
    """
    return function(value.clamp(min=0)) - function(value.neg().relu())


def _root(value: Tensor) -> Tensor:
    """Return `sqrt(x + 1) - 1`, without loss for small x."""
    return torch.expm1(0.5 * torch.log1p(value))


def _floating(name: str, value: Tensor) -> Tensor:
    if not value.is_floating_point():
        raise RLError(
            f"`{name}` was given {value.dtype}, expected a floating tensor: call `.float()` on it."
        )
    return value
