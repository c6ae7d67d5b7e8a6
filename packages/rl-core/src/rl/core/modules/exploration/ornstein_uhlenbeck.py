"""Exploration with noise that is correlated in time."""

from __future__ import annotations

import math

import torch
from tensordict import TensorDictBase
from tensordict.nn import TensorDictModuleBase, TensorDictSequential
from torch import Tensor

from rl.core.contract.keys import NestedKey, sibling
from rl.core.modules.exploration.module import ExplorationModule
from rl.core.specs.base import DEVICE_TYPING, TensorSpec

__all__ = ["OrnsteinUhlenbeckProcessModule", "OrnsteinUhlenbeckProcessWrapper"]


class OrnsteinUhlenbeckProcessModule(ExplorationModule):
    """Add `eps * x_t` to the action, x an Ornstein-Uhlenbeck process.

    `x_t = x_{t-1} + theta (mu - x_{t-1}) dt + sigma_t sqrt(dt) n_t`, `n_t ~ Normal(0, 1)`
    (Lillicrap et al. 2016, section 3). The state x lives in the TensorDict and travels with the
    trajectory; it starts again at `x0` where `is_init` is true, or where it is absent.

    Args:
        spec: the action's spec, a leaf or a `Composite` that holds `action_key`.
        eps_init: first factor.
        eps_end: last factor.
        annealing_num_steps: frames, counted by `step`, over which eps decreases.
        theta: pull towards the mean, per unit of time.
        mu: mean of the process.
        sigma: volatility.
        dt: time of one step.
        x0: state at the start of a trajectory.
        sigma_min: volatility after `n_steps_annealing` steps of a trajectory; None keeps `sigma`.
        n_steps_annealing: steps over which the volatility decreases.
        action_key: where the action is.
        is_init_key: where the first steps are marked (`InitTracker`).
        safe: project the sum into the spec.
        device: device of buffers and spec.

    Reads:
        action: `[*B, *A]`.
        is_init: `[*B, 1]` bool, optional.
        _ou_prev_noise: `[*B, *A]`, optional.
        _ou_steps: `[*B]` int64, optional.
    Writes:
        action: `[*B, *A]`.
        _ou_prev_noise: `[*B, *A]` state of the process.
        _ou_steps: `[*B]` int64 steps since the start of the trajectory.

    Example:
        >>> from tensordict import TensorDict
        >>> from rl.core.specs import Bounded
        >>> explore = OrnsteinUhlenbeckProcessModule(Bounded(-1.0, 1.0, (2,)))
        >>> td = TensorDict(action=torch.zeros(5, 2), batch_size=[5])
        >>> explore(explore(td))["_ou_steps"]
        tensor([2, 2, 2, 2, 2])
    """

    def __init__(  # noqa: PLR0913 - the arguments that TorchRL users pass
        self,
        spec: TensorSpec | None = None,
        eps_init: float = 1.0,
        eps_end: float = 0.1,
        annealing_num_steps: int = 1000,
        theta: float = 0.15,
        mu: float = 0.0,
        sigma: float = 0.2,
        dt: float = 0.01,
        x0: float | Tensor | None = None,
        sigma_min: float | None = None,
        n_steps_annealing: int = 1000,
        *,
        action_key: NestedKey = "action",
        is_init_key: NestedKey = "is_init",
        safe: bool = True,
        device: DEVICE_TYPING | None = None,
    ) -> None:
        super().__init__(
            "eps",
            eps_init,
            eps_end,
            annealing_num_steps,
            spec,
            action_key=action_key,
            device=device,
        )
        self.theta, self.mu, self.sigma, self.dt = theta, mu, sigma, dt
        self.x0 = 0.0 if x0 is None else x0
        self.sigma_min = sigma if sigma_min is None else sigma_min
        self.n_steps_annealing = n_steps_annealing
        self.is_init_key = is_init_key
        self.safe = safe
        self.noise_key = sibling(self.action_key, "_ou_prev_noise")
        self.steps_key = sibling(self.action_key, "_ou_steps")
        self.carried_keys = [self.noise_key, self.steps_key]
        self.out_keys = [self.action_key, *self.carried_keys]

    def _disturb(self, action: Tensor, tensordict: TensorDictBase) -> Tensor:
        noise, steps = self._state(action, tensordict)
        noise, steps = self._advance(noise, steps)
        tensordict.set(self.noise_key, noise)
        tensordict.set(self.steps_key, steps)
        action = action + noise * self.eps.to(action)
        return self._project(action) if self.safe else action

    def _state(self, action: Tensor, tensordict: TensorDictBase) -> tuple[Tensor, Tensor]:
        """Return the process before this step, started again where a trajectory begins."""
        start = torch.as_tensor(self.x0, dtype=action.dtype, device=action.device)
        noise = tensordict.get(self.noise_key, None)
        steps = tensordict.get(self.steps_key, None)
        if noise is None or steps is None:
            batch = action.shape[: self._batch_dims(tensordict)]
            steps = torch.zeros(batch, dtype=torch.int64, device=action.device)
            return start.expand_as(action), steps
        is_init = tensordict.get(self.is_init_key, None)
        if is_init is None:
            return noise, steps
        is_init = self._per_process(is_init, steps, tensordict)
        wide = is_init.view(*is_init.shape, *(1,) * (noise.dim() - is_init.dim()))
        return torch.where(wide, start, noise), steps.masked_fill(is_init, 0)

    def _batch_dims(self, tensordict: TensorDictBase) -> int:
        """Return the number of batch dimensions of what holds the action."""
        nested = isinstance(self.action_key, tuple)
        return (tensordict.get(self.action_key[:-1]) if nested else tensordict).ndim

    @staticmethod
    def _per_process(is_init: Tensor, steps: Tensor, tensordict: TensorDictBase) -> Tensor:
        """Return the flag of each process; that of an env is that of all its agents."""
        if is_init.numel() == steps.numel():
            return is_init.reshape(steps.shape)
        batch = tensordict.batch_size
        return is_init.reshape(*batch, *[1] * (steps.ndim - len(batch))).expand(steps.shape)

    def _advance(self, noise: Tensor, steps: Tensor) -> tuple[Tensor, Tensor]:
        sigma = self.sigma
        if self.sigma_min != sigma:
            rate = (sigma - self.sigma_min) / self.n_steps_annealing
            sigma = (sigma - rate * steps.to(noise.dtype)).clamp(min=self.sigma_min)
            sigma = sigma.view(*steps.shape, *(1,) * (noise.dim() - steps.dim()))
        drift = self.theta * (self.mu - noise) * self.dt
        noise = noise + drift + sigma * math.sqrt(self.dt) * torch.randn_like(noise)
        return noise, steps + 1


class OrnsteinUhlenbeckProcessWrapper(TensorDictSequential):
    """A policy followed by an `OrnsteinUhlenbeckProcessModule`.

    Args:
        policy: a TensorDict module that writes the action and, unless `spec` is given, has it in
            its own `spec`.
        eps_init: first factor.
        eps_end: last factor.
        annealing_num_steps: frames, counted by `step`, over which eps decreases.
        theta: pull towards the mean, per unit of time.
        mu: mean of the process.
        sigma: volatility.
        dt: time of one step.
        x0: state at the start of a trajectory.
        sigma_min: volatility after `n_steps_annealing` steps of a trajectory.
        n_steps_annealing: steps over which the volatility decreases.
        action_key: where the action is.
        is_init_key: where the first steps are marked.
        spec: the action's spec.
        safe: project the sum into the spec.
        device: device of buffers and spec.

    Reads:
        in_keys: what `policy` reads.
    Writes:
        out_keys: what `policy` writes, and the state of the process.

    Example:
        >>> from rl.core.modules.actors.actor import Actor
        >>> from rl.core.specs import Bounded
        >>> actor = Actor(torch.nn.Linear(3, 2), spec=Bounded(-1.0, 1.0, (2,)))
        >>> OrnsteinUhlenbeckProcessWrapper(actor).out_keys
        ['action', '_ou_prev_noise', '_ou_steps']
    """

    def __init__(  # noqa: PLR0913 - the arguments that TorchRL users pass
        self,
        policy: TensorDictModuleBase,
        *,
        eps_init: float = 1.0,
        eps_end: float = 0.1,
        annealing_num_steps: int = 1000,
        theta: float = 0.15,
        mu: float = 0.0,
        sigma: float = 0.2,
        dt: float = 0.01,
        x0: float | Tensor | None = None,
        sigma_min: float | None = None,
        n_steps_annealing: int = 1000,
        action_key: NestedKey = "action",
        is_init_key: NestedKey = "is_init",
        spec: TensorSpec | None = None,
        safe: bool = True,
        device: DEVICE_TYPING | None = None,
    ) -> None:
        explore = OrnsteinUhlenbeckProcessModule(
            policy.spec if spec is None else spec,
            eps_init,
            eps_end,
            annealing_num_steps,
            theta,
            mu,
            sigma,
            dt,
            x0,
            sigma_min,
            n_steps_annealing,
            action_key=action_key,
            is_init_key=is_init_key,
            safe=safe,
            device=device,
        )
        super().__init__(policy, explore)

    def step(self, frames: int = 1) -> None:
        """Anneal: count `frames` more frames."""
        self.module[-1].step(frames)
