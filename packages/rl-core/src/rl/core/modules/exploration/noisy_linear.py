"""Linear layers with learned noise (Fortunato et al. 2018)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import UninitializedBuffer, UninitializedParameter
from torch.nn.modules.lazy import LazyModuleMixin

from rl.core.modules.exploration.modes import explores

__all__ = ["NoisyLazyLinear", "NoisyLinear", "reset_noise"]


class NoisyLinear(nn.Linear):
    """`y = (W_mu + W_sigma * W_eps) x + b_mu + b_sigma * b_eps` with factorised noise.

    The noise is drawn at construction and by `reset_noise`, not at every call. In evaluation mode
    (or outside exploration, with `use_exploration_type`) the layer uses the means alone.

    Args:
        in_features: size of the input.
        out_features: size of the output.
        bias: whether there is a bias.
        device: device of the parameters.
        dtype: dtype of the parameters.
        std_init: first standard deviation times the square root of the fan-in (section 3.2).
        use_exploration_type: let `set_exploration_type` switch the noise, instead of `training`.

    Example:
        >>> layer = NoisyLinear(3, 2).eval()
        >>> bool((layer(torch.ones(1, 3)) == layer(torch.ones(1, 3))).all())
        True
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
        std_init: float = 0.5,
        use_exploration_type: bool = False,
    ) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = in_features, out_features
        self.std_init, self.use_exploration_type = std_init, use_exploration_type
        kwargs = {"device": device, "dtype": dtype}
        shape = (out_features, in_features)
        self.weight_mu = nn.Parameter(torch.empty(shape, **kwargs))
        self.weight_sigma = nn.Parameter(torch.empty(shape, **kwargs))
        self.register_buffer("weight_epsilon", torch.empty(shape, **kwargs))
        if bias:
            self.bias_mu = nn.Parameter(torch.empty(out_features, **kwargs))
            self.bias_sigma = nn.Parameter(torch.empty(out_features, **kwargs))
            self.register_buffer("bias_epsilon", torch.empty(out_features, **kwargs))
        else:
            self.bias_mu = None
        self.reset_parameters()
        self.reset_noise()

    def reset_parameters(self) -> None:
        """Draw the means and set the standard deviations (section 3.2)."""
        bound = 1 / math.sqrt(self.in_features)
        nn.init.uniform_(self.weight_mu, -bound, bound)
        nn.init.constant_(self.weight_sigma, self.std_init / math.sqrt(self.in_features))
        if self.bias_mu is not None:
            nn.init.uniform_(self.bias_mu, -bound, bound)
            nn.init.constant_(self.bias_sigma, self.std_init / math.sqrt(self.out_features))

    @torch.no_grad()
    def reset_noise(self) -> None:
        """Draw new noise: an outer product of two vectors (equations 10 and 11)."""
        noise_in, noise_out = self._noise(self.in_features), self._noise(self.out_features)
        self.weight_epsilon.copy_(noise_out.outer(noise_in))
        if self.bias_mu is not None:
            self.bias_epsilon.copy_(noise_out)

    def _noise(self, size: int) -> Tensor:
        mu = self.weight_mu
        noise = torch.randn(size, device=mu.device, dtype=mu.dtype)
        return noise.sign() * noise.abs().sqrt()

    @property
    def is_noisy(self) -> bool:
        """Whether a call adds the noise."""
        return explores() if self.use_exploration_type else self.training

    @property
    def weight(self) -> Tensor:
        """The weight that a call uses."""
        if not self.is_noisy:
            return self.weight_mu
        return torch.addcmul(self.weight_mu, self.weight_sigma, self.weight_epsilon)

    @property
    def bias(self) -> Tensor | None:
        """The bias that a call uses."""
        if self.bias_mu is None or not self.is_noisy:
            return self.bias_mu
        return torch.addcmul(self.bias_mu, self.bias_sigma, self.bias_epsilon)


class NoisyLazyLinear(LazyModuleMixin, NoisyLinear):
    """A `NoisyLinear` that takes its input size from the first call.

    Args:
        out_features: size of the output.
        bias: whether there is a bias.
        device: device of the parameters.
        dtype: dtype of the parameters.
        std_init: as in `NoisyLinear`.
        use_exploration_type: as in `NoisyLinear`.

    Example:
        >>> layer = NoisyLazyLinear(2)
        >>> layer(torch.ones(5, 3)).shape, layer.in_features
        (torch.Size([5, 2]), 3)
    """

    cls_to_become = NoisyLinear

    def __init__(
        self,
        out_features: int,
        bias: bool = True,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
        std_init: float = 0.5,
        use_exploration_type: bool = False,
    ) -> None:
        super().__init__(1, out_features, bias, device, dtype, std_init, use_exploration_type)
        self.in_features = 0
        kwargs = {"device": device, "dtype": dtype}
        self.weight_mu = UninitializedParameter(**kwargs)
        self.weight_sigma = UninitializedParameter(**kwargs)
        self.weight_epsilon = UninitializedBuffer(requires_grad=False, **kwargs)

    def reset_parameters(self) -> None:
        """Draw the parameters once their size is known."""
        if self.in_features and not self.has_uninitialized_params():
            super().reset_parameters()

    def reset_noise(self) -> None:
        """Draw new noise once the size is known."""
        if self.in_features and not self.has_uninitialized_params():
            super().reset_noise()

    def initialize_parameters(self, x: Tensor) -> None:
        """Take the input size from `x`, or a loaded state, and draw parameters and noise."""
        if not self.has_uninitialized_params():
            self.in_features = self.weight_mu.shape[-1]
            return
        with torch.no_grad():
            self.in_features = x.shape[-1]
            shape = (self.out_features, self.in_features)
            self.weight_mu.materialize(shape)
            self.weight_sigma.materialize(shape)
            self.weight_epsilon.materialize(shape)
            self.reset_parameters()
            self.reset_noise()


NoisyLinear.lazy = NoisyLazyLinear


def reset_noise(layer: nn.Module) -> None:
    """Draw new noise if `layer` has a method for it; use with `net.apply(reset_noise)`.

    Example:
        >>> net = nn.Sequential(NoisyLinear(3, 3), nn.Tanh())
        >>> net.apply(reset_noise)[1]
        Tanh()
    """
    reset = getattr(layer, "reset_noise", None)
    if reset is not None:
        reset()
