"""Additive Gaussian exploration."""

from __future__ import annotations

import torch
from tensordict import TensorDictBase
from tensordict.nn import TensorDictModuleBase, TensorDictSequential
from torch import Tensor

from rl.core.contract.keys import NestedKey
from rl.core.modules.exploration.module import ExplorationModule
from rl.core.specs.base import DEVICE_TYPING, TensorSpec

__all__ = ["AdditiveGaussianModule", "AdditiveGaussianWrapper"]


class AdditiveGaussianModule(ExplorationModule):
    """Add `sigma * Normal(mean, std)` to the action and bring the sum into the spec.

    Args:
        spec: the action's spec, a leaf or a `Composite` that holds `action_key`.
        sigma_init: first factor.
        sigma_end: last factor.
        annealing_num_steps: frames, counted by `step`, over which sigma decreases.
        mean: mean of the noise.
        std: standard deviation of the noise.
        action_key: where the action is.
        safe: project the sum into the spec.
        device: device of buffers and spec.

    Reads:
        action: `[*B, *A]`.
    Writes:
        action: `[*B, *A]`.

    Raises:
        SpecError: at call, there is no spec to project onto.

    Example:
        >>> from tensordict import TensorDict
        >>> from rl.core.specs import Bounded
        >>> explore = AdditiveGaussianModule(Bounded(-1.0, 1.0, (2,)))
        >>> td = explore(TensorDict(action=torch.zeros(5, 2), batch_size=[5]))
        >>> bool(td["action"].abs().max() <= 1)
        True
    """

    def __init__(  # noqa: PLR0913 - the arguments that TorchRL users pass
        self,
        spec: TensorSpec | None = None,
        sigma_init: float = 1.0,
        sigma_end: float = 0.1,
        annealing_num_steps: int = 1000,
        mean: float = 0.0,
        std: float = 1.0,
        *,
        action_key: NestedKey = "action",
        safe: bool = True,
        device: DEVICE_TYPING | None = None,
    ) -> None:
        super().__init__(
            "sigma",
            sigma_init,
            sigma_end,
            annealing_num_steps,
            spec,
            action_key=action_key,
            device=device,
        )
        self.register_buffer("mean", torch.tensor(float(mean), device=device))
        self.register_buffer("std", torch.tensor(float(std), device=device))
        self.safe = safe

    def _disturb(self, action: Tensor, tensordict: TensorDictBase) -> Tensor:
        noise = torch.randn_like(action) * self.std.to(action) + self.mean.to(action)
        action = action + noise * self.sigma.to(action)
        return self._project(action) if self.safe else action


class AdditiveGaussianWrapper(TensorDictSequential):
    """A policy followed by an `AdditiveGaussianModule`.

    Args:
        policy: a TensorDict module that writes the action and, unless `spec` is given, has it in
            its own `spec`.
        sigma_init: first factor.
        sigma_end: last factor.
        annealing_num_steps: frames, counted by `step`, over which sigma decreases.
        mean: mean of the noise.
        std: standard deviation of the noise.
        action_key: where the action is.
        spec: the action's spec.
        safe: project the sum into the spec.
        device: device of buffers and spec.

    Reads:
        in_keys: what `policy` reads.
    Writes:
        out_keys: what `policy` writes.

    Example:
        >>> from rl.core.modules.actors.actor import Actor
        >>> from rl.core.specs import Bounded
        >>> actor = Actor(torch.nn.Linear(3, 2), spec=Bounded(-1.0, 1.0, (2,)))
        >>> AdditiveGaussianWrapper(actor).in_keys
        ['observation']
    """

    def __init__(  # noqa: PLR0913 - the arguments that TorchRL users pass
        self,
        policy: TensorDictModuleBase,
        *,
        sigma_init: float = 1.0,
        sigma_end: float = 0.1,
        annealing_num_steps: int = 1000,
        mean: float = 0.0,
        std: float = 1.0,
        action_key: NestedKey = "action",
        spec: TensorSpec | None = None,
        safe: bool = True,
        device: DEVICE_TYPING | None = None,
    ) -> None:
        explore = AdditiveGaussianModule(
            policy.spec if spec is None else spec,
            sigma_init,
            sigma_end,
            annealing_num_steps,
            mean,
            std,
            action_key=action_key,
            safe=safe,
            device=device,
        )
        super().__init__(policy, explore)

    def step(self, frames: int = 1) -> None:
        """Anneal: count `frames` more frames."""
        self.module[-1].step(frames)
