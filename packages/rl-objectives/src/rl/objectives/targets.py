"""Updaters of the delayed copies that losses keep of their networks."""

from __future__ import annotations

import abc

import torch
from torch import Tensor, nn

from rl.core.errors import RLError
from rl.objectives.losses.base import LossModule
from rl.objectives.stateless import flat_parameters

__all__ = ["HardUpdate", "SoftUpdate", "TargetNetUpdater"]


class TargetNetUpdater(nn.Module, abc.ABC):
    """Moves the target parameters of a loss towards its parameters; call `step` after each update.

    Args:
        loss_module: a loss with delayed networks.

    Raises:
        RLError: when the loss has none.

    Example:
        >>> from rl.objectives import DQNLoss
        >>> class Frozen(TargetNetUpdater):
        ...     def step(self):
        ...         pass
        >>> net = nn.Linear(1, 2)
        >>> updater = Frozen(DQNLoss(net, action_space="one_hot", delay_value=True))
        >>> updater.step()
    """

    def __init__(self, loss_module: LossModule) -> None:
        super().__init__()
        names = list(getattr(loss_module, "_delayed", []))
        if not names:
            raise RLError(
                f"{type(loss_module).__name__} has no target parameters to move: build it with "
                "`delay_value=True` (`delay_qvalue`, `delay_actor`), or do without an updater."
            )
        # the loss owns the parameters; the updater saves none
        self.__dict__["loss_module"] = loss_module
        self._names = names
        loss_module.target_updater_required = False
        self.init_()

    def init_(self) -> None:
        """Copy the parameters into the targets."""
        for source, target in self._pairs():
            torch._foreach_copy_(target, source)

    @abc.abstractmethod
    def step(self) -> None:
        """Move the targets once."""

    def _pairs(self) -> list[tuple[list[Tensor], list[Tensor]]]:
        """Return, for each network, its tensors and those of its delayed copy."""
        pairs = []
        for name in self._names:
            source = flat_parameters(self.loss_module._modules[f"{name}_params"])
            target = flat_parameters(self.loss_module._modules[f"target_{name}_params"])
            pairs.append(([source[k].detach() for k in target], list(target.values())))
        return pairs


class SoftUpdate(TargetNetUpdater):
    """Polyak averaging: target = (1 - tau) * target + tau * source.

    Args:
        loss_module: a loss with delayed networks.
        eps: 1 - tau; give one of the two. 0.995 by default.
        tau: share of the source.

    Raises:
        ValueError: outside of [0, 1], or with both.

    Example:
        >>> from rl.objectives import DQNLoss
        >>> net = nn.Linear(1, 2, bias=False)
        >>> loss = DQNLoss(net, action_space="one_hot", delay_value=True)
        >>> updater = SoftUpdate(loss, tau=0.5)
        >>> net.weight.data += 1.0
        >>> updater.step()
        >>> source = loss.value_network_params["module", "weight"]
        >>> difference = source - loss.target_value_network_params["module", "weight"]
        >>> torch.allclose(difference, torch.tensor(0.5))
        True
    """

    def __init__(
        self, loss_module: LossModule, *, eps: float | None = None, tau: float | None = None
    ) -> None:
        if eps is not None and tau is not None:
            raise ValueError("`eps` is 1 - `tau`: give one of them, not both.")
        if tau is None:
            tau = 1 - (0.995 if eps is None else eps)
        if not 0 <= tau <= 1:
            name, value = ("tau", tau) if eps is None else ("eps", eps)
            raise ValueError(f"`{name}` is {value}, expected a number from 0 to 1.")
        super().__init__(loss_module)
        self.tau = tau

    @property
    def eps(self) -> float:
        """1 - tau."""
        return 1 - self.tau

    @torch.no_grad()
    def step(self) -> None:
        """Move the targets by `tau`; counters, as of batch norm, are copied."""
        for source, target in self._pairs():
            floats = [i for i, t in enumerate(target) if t.is_floating_point()]
            torch._foreach_lerp_([target[i] for i in floats], [source[i] for i in floats], self.tau)
            for i, tensor in enumerate(target):
                if not tensor.is_floating_point():
                    tensor.copy_(source[i])


class HardUpdate(TargetNetUpdater):
    """Periodic copy.

    Args:
        loss_module: a loss with delayed networks.
        value_network_update_interval: steps from one copy to the next.

    Example:
        >>> from rl.objectives import DQNLoss
        >>> loss = DQNLoss(nn.Linear(1, 2), action_space="one_hot", delay_value=True)
        >>> updater = HardUpdate(loss, value_network_update_interval=2)
        >>> updater.step(); updater.counter.item()
        1
    """

    def __init__(
        self, loss_module: LossModule, *, value_network_update_interval: int = 1000
    ) -> None:
        if value_network_update_interval < 1:
            raise ValueError(
                f"`value_network_update_interval` is {value_network_update_interval}, expected a "
                "positive number of steps."
            )
        super().__init__(loss_module)
        self.value_network_update_interval = int(value_network_update_interval)
        self.register_buffer("counter", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def step(self) -> None:
        """Count a step, and copy at the end of each interval."""
        self.counter += 1
        if self.counter == self.value_network_update_interval:
            self.counter.zero_()
            self.init_()
