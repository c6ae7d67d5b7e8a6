"""Epsilon-greedy exploration."""

from __future__ import annotations

import torch
from tensordict import TensorDictBase
from tensordict.nn import TensorDictModuleBase, TensorDictSequential
from torch import Tensor

from rl.core.contract.keys import NestedKey, unravel_key
from rl.core.errors import MissingKeyError, SpecError
from rl.core.modules.exploration.module import ExplorationModule
from rl.core.specs.base import DEVICE_TYPING, TensorSpec
from rl.core.specs.categorical import Categorical
from rl.core.specs.one_hot import OneHot

__all__ = ["EGreedyModule", "EGreedyWrapper"]


class EGreedyModule(ExplorationModule):
    """With probability eps, replace the action of a batch element by a uniform one.

    Args:
        spec: the action's spec, a leaf or a `Composite` that holds `action_key`.
        eps_init: first probability.
        eps_end: last probability.
        annealing_num_steps: frames, counted by `step`, over which eps decreases.
        action_key: where the action is.
        action_mask_key: where the mask of legal actions is; random actions obey it.
        device: device of buffers and spec.

    Reads:
        action: `[*B, *A]`.
        action_mask: bool, when `action_mask_key` is given.
    Writes:
        action: `[*B, *A]`, of the same dtype.

    Raises:
        MissingKeyError: at call, action or mask is not in the TensorDict.
        SpecError: at call, there is no spec, or the action has another shape.

    Example:
        >>> from tensordict import TensorDict
        >>> explore = EGreedyModule(OneHot(4), annealing_num_steps=100)
        >>> td = TensorDict(action=torch.zeros(8, 4, dtype=torch.int64), batch_size=[8])
        >>> explore(td)["action"].sum(-1)
        tensor([1, 1, 1, 1, 1, 1, 1, 1])
        >>> explore.step(50)
        >>> explore.eps
        tensor(0.5500)
    """

    def __init__(
        self,
        spec: TensorSpec | None,
        eps_init: float = 1.0,
        eps_end: float = 0.1,
        annealing_num_steps: int = 1000,
        *,
        action_key: NestedKey = "action",
        action_mask_key: NestedKey | None = None,
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
        self.action_mask_key = action_mask_key
        if action_mask_key is not None:
            self.in_keys = [*self.in_keys, unravel_key(action_mask_key)]

    def _disturb(self, action: Tensor, tensordict: TensorDictBase) -> Tensor:
        batch = tensordict.batch_size
        replace = torch.rand(batch, device=action.device) < self.eps.to(action.device)
        random = self._random(action, tensordict).to(device=action.device, dtype=action.dtype)
        if random.shape != action.shape:
            random = self._fitted(random, action)
        return torch.where(
            replace.view(*batch, *(1,) * (action.dim() - len(batch))), random, action
        )

    def _fitted(self, random: Tensor, action: Tensor) -> Tensor:
        """Return random actions, one per row of the mask, in the shape of the action."""
        if random.numel() != action.numel():
            raise SpecError(
                f"`{self.action_mask_key}` allows for actions of shape {list(random.shape)}, "
                f"`{self.action_key}` has {list(action.shape)}: give a mask `[*B, actions]` with "
                "a row per action."
            )
        return random.reshape(action.shape)

    def _random(self, action: Tensor, tensordict: TensorDictBase) -> Tensor:
        spec = self.action_spec
        if self.action_mask_key is None:
            lead = self._lead(action)
            return spec.rand(lead) if lead else spec.rand()
        mask = tensordict.get(self.action_mask_key, None)
        if mask is None:
            raise MissingKeyError(
                f"`{self.action_mask_key}` is missing: `EGreedyModule` draws legal actions with "
                f"it, the TensorDict has {sorted(map(str, tensordict.keys(True)))}. Put the mask "
                "in the env's observations, or drop `action_mask_key`."
            )
        if isinstance(spec, OneHot | Categorical):
            return _legal(mask, one_hot=isinstance(spec, OneHot))
        masked = spec.expand(action.shape).clone()
        masked.update_mask(mask)
        return masked.rand()


class EGreedyWrapper(TensorDictSequential):
    """A policy followed by an `EGreedyModule`.

    Args:
        policy: a TensorDict module that writes the action and, unless `spec` is given, has it in
            its own `spec`.
        eps_init: first probability.
        eps_end: last probability.
        annealing_num_steps: frames, counted by `step`, over which eps decreases.
        action_key: where the action is.
        action_mask_key: where the mask of legal actions is.
        spec: the action's spec.

    Reads:
        in_keys: what `policy` reads.
    Writes:
        out_keys: what `policy` writes.

    Example:
        >>> from rl.core.modules.actors.q_value import QValueActor
        >>> policy = EGreedyWrapper(QValueActor(torch.nn.Linear(3, 4), spec=OneHot(4)))
        >>> policy.step(1000)
        >>> policy.module[-1].eps
        tensor(0.1000)
    """

    def __init__(
        self,
        policy: TensorDictModuleBase,
        *,
        eps_init: float = 1.0,
        eps_end: float = 0.1,
        annealing_num_steps: int = 1000,
        action_key: NestedKey = "action",
        action_mask_key: NestedKey | None = None,
        spec: TensorSpec | None = None,
    ) -> None:
        explore = EGreedyModule(
            policy.spec if spec is None else spec,
            eps_init,
            eps_end,
            annealing_num_steps,
            action_key=action_key,
            action_mask_key=action_mask_key,
        )
        super().__init__(policy, explore)

    def step(self, frames: int = 1) -> None:
        """Anneal: count `frames` more frames."""
        self.module[-1].step(frames)


def _legal(mask: Tensor, *, one_hot: bool) -> Tensor:
    """Return a uniform legal action for each row of `mask`, as a one-hot row or an index."""
    score = torch.rand(mask.shape, device=mask.device).masked_fill(~mask, -1.0)
    index = score.argmax(-1, keepdim=True)
    return torch.zeros_like(mask).scatter_(-1, index, True) if one_hot else index.squeeze(-1)
