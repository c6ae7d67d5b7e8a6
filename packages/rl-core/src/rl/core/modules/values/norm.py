"""Running normalisation of value targets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rl.core.errors import RLError, ShapeError
from rl.core.specs.base import DEVICE_TYPING

__all__ = ["PopArtValueNorm", "RunningValueNorm", "ValueNorm"]


class ValueNorm(nn.Module, ABC):
    """Keep location and scale of the value targets seen, to train a critic on a fixed scale.

    Subclasses write `update` (through `_fold`) and `moments`. The statistics are float64 buffers,
    so that they do not stall after many updates; results have the dtype of what is normalised.

    Args:
        shape: shape of one value; the dimensions before it are averaged over.
        epsilon: added to the variance.
        device: device of the statistics.

    Raises:
        RLError: `epsilon` is not positive.
        ShapeError: at call, a value does not end with `shape`.

    Example:
        >>> class Fixed(ValueNorm):
        ...     def _fold(self, rows):
        ...         pass
        ...     def moments(self):
        ...         return torch.tensor(2.0), torch.tensor(9.0)
        >>> Fixed(epsilon=1e-9).normalize(torch.tensor([[8.0]]))
        tensor([[2.]])
    """

    def __init__(
        self,
        *,
        shape: int | Sequence[int] = 1,
        epsilon: float = 1e-5,
        device: DEVICE_TYPING | None = None,
    ) -> None:
        super().__init__()
        if not epsilon > 0:
            raise RLError(
                f"`epsilon` is {epsilon}, expected a positive number: it keeps the scale of a "
                "constant value above zero. Use the default, 1e-5."
            )
        self.shape = torch.Size([shape] if isinstance(shape, int) else shape)
        self.epsilon = epsilon
        self._device = device

    def _statistic(self, name: str) -> None:
        zeros = torch.zeros(self.shape, dtype=torch.float64, device=self._device)
        self.register_buffer(name, zeros)

    @abstractmethod
    def _fold(self, rows: Tensor) -> None:
        """Fold `rows`, `[N, *shape]` float64 with N > 0, into the statistics."""

    @abstractmethod
    def moments(self) -> tuple[Tensor, Tensor]:
        """Return mean and variance of the targets, each of `shape`; 0 and 1 before any."""

    @torch.no_grad()
    def update(self, value_target: Tensor) -> None:
        """Fold targets, `[*B, *shape]`, into the statistics; an empty batch changes nothing."""
        self._check(value_target)
        rows = value_target.detach().reshape(-1, *self.shape).to(torch.float64)
        if rows.shape[0]:
            self._fold(rows)

    def normalize(self, value_target: Tensor) -> Tensor:
        """Return `(value - mean) / scale`, `[*B, *shape]`."""
        self._check(value_target)
        mean, _ = self.moments()
        return ((value_target - mean) / self.scale()).to(value_target.dtype)

    def denormalize(self, normalised_value: Tensor) -> Tensor:
        """Return the value whose normalised form is given, `[*B, *shape]`."""
        self._check(normalised_value)
        mean, _ = self.moments()
        return (normalised_value * self.scale() + mean).to(normalised_value.dtype)

    def scale(self) -> Tensor:
        """Return the scale that `normalize` divides by, of `shape`."""
        return (self.moments()[1] + self.epsilon).sqrt()

    def _check(self, value: Tensor) -> None:
        dims = len(self.shape)
        if value.dim() < dims or value.shape[value.dim() - dims :] != self.shape:
            raise ShapeError(
                f"The value has shape {list(value.shape)}, `{type(self).__name__}` expects it to "
                f"end with {list(self.shape)}: pass `shape=` to the constructor, or add the "
                "value's last dimension (`unsqueeze(-1)`)."
            )
        if not value.is_floating_point():
            raise RLError(
                f"The value is {value.dtype}, `{type(self).__name__}` expects a floating tensor: "
                "call `.float()` on it."
            )


class PopArtValueNorm(ValueNorm):
    """Exponential averages of the first two moments, corrected for their start at zero.

    As MAPPO uses it (Yu et al. 2022, section 5.1), after PopArt (Hessel et al. 2019, section 3);
    the output layer of the critic is not rescaled.

    Args:
        shape: shape of one value.
        beta: weight of the past at each update, in [0, 1).
        epsilon: added to the variance.
        device: device of the statistics.

    Raises:
        RLError: `beta` is not in [0, 1), or `epsilon` is not positive.

    Example:
        >>> norm = PopArtValueNorm(beta=0.5)
        >>> norm.update(torch.tensor([[1.0], [3.0]]))
        >>> norm.normalize(torch.tensor([[1.0], [3.0]]))
        tensor([[-1.0000],
                [ 1.0000]])
    """

    def __init__(
        self,
        *,
        shape: int | Sequence[int] = 1,
        beta: float = 0.99999,
        epsilon: float = 1e-5,
        device: DEVICE_TYPING | None = None,
    ) -> None:
        super().__init__(shape=shape, epsilon=epsilon, device=device)
        if not 0 <= beta < 1:
            raise RLError(
                f"`beta` is {beta}, expected a number in [0, 1): it is the weight of the past. "
                "Use the default, 0.99999."
            )
        self.beta = beta
        self._statistic("running_mean")
        self._statistic("running_mean_sq")
        self.register_buffer("debiasing_term", torch.zeros((), dtype=torch.float64, device=device))

    def _fold(self, rows: Tensor) -> None:
        gain = 1 - self.beta
        self.running_mean += gain * (rows.mean(0) - self.running_mean)
        self.running_mean_sq += gain * (rows.square().mean(0) - self.running_mean_sq)
        self.debiasing_term += gain * (1 - self.debiasing_term)

    def moments(self) -> tuple[Tensor, Tensor]:
        """Return the averages of the mean and of the variance, each of `shape`."""
        seen = self.debiasing_term > 0
        weight = torch.where(seen, self.debiasing_term, 1.0)
        mean = self.running_mean / weight
        variance = (self.running_mean_sq / weight - mean.square()).clamp(min=0)
        return mean, torch.where(seen, variance, 1.0)


class RunningValueNorm(ValueNorm):
    """Mean and variance of all targets seen, exact for any split into batches.

    Batches are merged by the pairwise update of Chan et al. 1979 (eq. 2.1), which for single rows
    is Welford's.

    Args:
        shape: shape of one value.
        epsilon: added to the variance.
        device: device of the statistics.

    Raises:
        RLError: `epsilon` is not positive.

    Example:
        >>> norm = RunningValueNorm()
        >>> norm.update(torch.tensor([[1.0]]))
        >>> norm.update(torch.tensor([[3.0], [5.0]]))
        >>> norm.moments()[0]
        tensor([3.], dtype=torch.float64)
    """

    def __init__(
        self,
        *,
        shape: int | Sequence[int] = 1,
        epsilon: float = 1e-5,
        device: DEVICE_TYPING | None = None,
    ) -> None:
        super().__init__(shape=shape, epsilon=epsilon, device=device)
        self._statistic("mean")
        self._statistic("m2")
        self.register_buffer("count", torch.zeros((), dtype=torch.float64, device=device))

    def _fold(self, rows: Tensor) -> None:
        number = rows.shape[0]
        mean = rows.mean(0)
        delta = mean - self.mean
        total = self.count + number
        self.m2 += (rows - mean).square().sum(0)
        self.m2 += delta.square() * (self.count * number / total)
        self.mean += delta * (number / total)
        self.count.copy_(total)

    def moments(self) -> tuple[Tensor, Tensor]:
        """Return mean and population variance of all targets, each of `shape`."""
        seen = self.count > 0
        variance = self.m2 / torch.where(seen, self.count, 1.0)
        return self.mean, torch.where(seen, variance, 1.0)
