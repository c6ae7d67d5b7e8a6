"""Generalised state-dependent exploration (Raffin et al. 2022)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.distributions import Transform
from torch.nn import UninitializedBuffer, UninitializedParameter, functional
from torch.nn.modules.lazy import LazyModuleMixin

from rl.core.errors import RLError, ShapeError
from rl.core.modules.exploration.modes import explores

__all__ = ["LazygSDEModule", "gSDEModule"]

_MIN_VARIANCE = 1e-5


class gSDEModule(nn.Module):  # noqa: N801 - the name that TorchRL users import
    """Disturb an action by a linear function of the state, drawn once for many steps.

    `a = mu + (sigma * eps) s` with `eps ~ Normal(0, 1)` of shape `[A, S]`: along a trajectory that
    keeps its eps the noise is smooth, and over draws of eps the action is normal with
    `scale_i^2 = sum_j sigma_ij^2 s_j^2` (Raffin et al. 2022, section 3, equation 5). Outside
    exploration the action is mu.

    Args:
        action_dim: A.
        state_dim: S.
        sigma_init: first value of every sigma; default `1 / sqrt(S)`, a unit scale for states of
            unit variance.
        scale_min: least sigma.
        scale_max: greatest sigma.
        learn_sigma: let gradients move sigma.
        transform: applied to the action, such as a tanh.
        device: device of the parameters.

    Raises:
        RLError: `sigma_init` is outside of `scale_min` and `scale_max`.
        ShapeError: at call, mu, state or noise has another size.

    Example:
        >>> from rl.core.modules.exploration.modes import ExplorationType, set_exploration_type
        >>> layer = gSDEModule(action_dim=2, state_dim=3)
        >>> mu, state = torch.zeros(5, 2), torch.randn(5, 3)
        >>> with set_exploration_type(ExplorationType.RANDOM):
        ...     loc, scale, action, eps = layer(mu, state)
        >>> torch.equal(layer(mu, state, eps)[2], action), scale.shape, eps.shape
        (True, torch.Size([5, 2]), torch.Size([5, 2, 3]))
    """

    def __init__(
        self,
        action_dim: int,
        state_dim: int,
        sigma_init: float | None = None,
        scale_min: float = 0.01,
        scale_max: float = 10.0,
        learn_sigma: bool = True,
        transform: Transform | None = None,
        device: torch.device | str | int | None = None,
    ) -> None:
        super().__init__()
        if sigma_init is not None and not scale_min <= sigma_init <= scale_max:
            raise RLError(
                f"`sigma_init` is {sigma_init}, expected it between scale_min={scale_min} and "
                f"scale_max={scale_max}: widen the bounds."
            )
        self.action_dim, self.state_dim = action_dim, state_dim
        self.sigma_init, self.learn_sigma = sigma_init, learn_sigma
        self.scale_min, self.scale_max = scale_min, scale_max
        self.transform = transform
        self._declare(torch.empty(action_dim, state_dim, device=device))
        self.reset_parameters()

    def _declare(self, sigma: Tensor) -> None:
        if self.learn_sigma:
            self.log_sigma = nn.Parameter(sigma)
        else:
            self.register_buffer("log_sigma", sigma)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Set every sigma to its first value."""
        sigma = self.sigma_init
        if sigma is None:
            sigma = 1 / math.sqrt(max(1, self.state_dim))
            sigma = min(max(sigma, self.scale_min), self.scale_max)
        # the inverse of softplus
        self.log_sigma.fill_(sigma + math.log(-math.expm1(-sigma)))

    @property
    def sigma(self) -> Tensor:
        """The standard deviation of each entry of the linear function, `[A, S]`."""
        return functional.softplus(self.log_sigma).clamp(self.scale_min, self.scale_max)

    def forward(
        self, mu: Tensor, state: Tensor, eps: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return location, scale, action and noise.

        Args:
            mu: `[*B, A]`.
            state: `[*B, S]`.
            eps: `[*B, A, S]` noise of an earlier call; None, or zeros (as a primer writes them
                at a reset), to draw it.
        """
        self._check(mu, state, eps)
        sigma = self.sigma.to(mu.dtype)
        fresh = torch.randn(*mu.shape, state.shape[-1], dtype=mu.dtype, device=mu.device)
        if eps is None:
            eps = fresh
        else:
            unset = (eps == 0).flatten(-2).all(-1)[..., None, None]
            eps = torch.where(unset, fresh, eps)
        scale = (state.square() @ sigma.square().mT + _MIN_VARIANCE).sqrt()
        action = mu
        if explores():
            action = mu + ((sigma * eps) @ state.unsqueeze(-1)).squeeze(-1)
        if self.transform is not None:
            action = self.transform(action)
        return mu, scale, action, eps

    def _check(self, mu: Tensor, state: Tensor, eps: Tensor | None) -> None:
        sizes = (self.action_dim, self.state_dim)
        if (mu.shape[-1], state.shape[-1]) != sizes or mu.shape[:-1] != state.shape[:-1]:
            raise ShapeError(
                f"`{type(self).__name__}` was given mu {list(mu.shape)} and state "
                f"{list(state.shape)}, expected [*B, {sizes[0]}] and [*B, {sizes[1]}]: pass "
                f"`action_dim={mu.shape[-1]}, state_dim={state.shape[-1]}`."
            )
        if eps is not None and eps.shape != (*mu.shape, sizes[1]):
            raise ShapeError(
                f"The noise has shape {list(eps.shape)}, expected {[*mu.shape, sizes[1]]}: prime "
                "it with the batch of the data (`gSDENoise(state_dim=, action_dim=)`)."
            )


class LazygSDEModule(LazyModuleMixin, gSDEModule):
    """A `gSDEModule` that takes its sizes from the first call.

    Args:
        sigma_init: as in `gSDEModule`.
        scale_min: as in `gSDEModule`.
        scale_max: as in `gSDEModule`.
        learn_sigma: as in `gSDEModule`.
        transform: as in `gSDEModule`.
        device: device of the parameters.

    Example:
        >>> layer = LazygSDEModule()
        >>> _ = layer(torch.zeros(5, 2), torch.randn(5, 3))
        >>> layer.action_dim, layer.state_dim
        (2, 3)
    """

    cls_to_become = gSDEModule

    def __init__(
        self,
        sigma_init: float | None = None,
        scale_min: float = 0.01,
        scale_max: float = 10.0,
        learn_sigma: bool = True,
        transform: Transform | None = None,
        device: torch.device | str | int | None = None,
    ) -> None:
        super().__init__(1, 1, sigma_init, scale_min, scale_max, learn_sigma, transform, device)
        self.action_dim = self.state_dim = 0
        kind = UninitializedParameter if learn_sigma else UninitializedBuffer
        self.log_sigma = kind(device=device)

    def reset_parameters(self) -> None:
        """Set every sigma to its first value once the sizes are known."""
        if self.state_dim and not self.has_uninitialized_params():
            super().reset_parameters()

    def initialize_parameters(self, mu: Tensor, state: Tensor, eps: Tensor | None = None) -> None:
        """Take the sizes from `mu` and `state`, or from a state that was loaded before."""
        del eps
        if not self.has_uninitialized_params():
            self.action_dim, self.state_dim = self.log_sigma.shape
            return
        with torch.no_grad():
            self.action_dim, self.state_dim = mu.shape[-1], state.shape[-1]
            self.log_sigma.materialize((self.action_dim, self.state_dim))
            self.reset_parameters()
