"""The base of modules that disturb a policy's action."""

from __future__ import annotations

from abc import abstractmethod

import torch
from tensordict import TensorDictBase
from tensordict.nn import TensorDictModuleBase
from torch import Tensor

from rl.core.contract.keys import NestedKey, unravel_key
from rl.core.errors import RLError, SpecError
from rl.core.modules.actors.output_spec import missing_key
from rl.core.modules.exploration.modes import explores
from rl.core.specs.base import DEVICE_TYPING, TensorSpec
from rl.core.specs.composite import Composite

__all__ = ["ExplorationModule"]


class ExplorationModule(TensorDictModuleBase):
    """Replace the action at `action_key`, with an intensity that is annealed linearly.

    Subclasses write `_disturb`. The intensity goes from `init` to `end` in
    `annealing_num_steps` frames, counted by `step`; it is a buffer, so that `state_dict` resumes
    it exactly. The module acts only where `explores()` is true.

    Args:
        intensity: name of the buffer.
        init: its first value.
        end: its last value.
        annealing_num_steps: frames between the two.
        spec: the action's spec, a leaf or a `Composite` that holds `action_key`; may be set later.
        action_key: where the action is.
        device: device of buffers and spec.

    Raises:
        RLError: `end` is above `init`, or `annealing_num_steps` is not positive.

    Example:
        >>> from tensordict import TensorDict
        >>> class Scale(ExplorationModule):
        ...     def _disturb(self, action, tensordict):
        ...         return action * (1 + self.scale)
        >>> module = Scale("scale", 1.0, 0.0, 10, None)
        >>> module.step(5)
        >>> module(TensorDict(action=torch.ones(2)))["action"]
        tensor([1.5000, 1.5000])
    """

    def __init__(
        self,
        intensity: str,
        init: float,
        end: float,
        annealing_num_steps: int,
        spec: TensorSpec | None,
        *,
        action_key: NestedKey = "action",
        device: DEVICE_TYPING | None = None,
    ) -> None:
        super().__init__()
        if end > init:
            raise RLError(
                f"`{intensity}_end` is {end} and `{intensity}_init` {init}, expected end <= init: "
                "exploration decreases; swap them."
            )
        if annealing_num_steps < 1:
            raise RLError(
                f"`annealing_num_steps` is {annealing_num_steps}, expected at least 1: give the "
                "number of frames over which exploration decreases."
            )
        self._intensity = intensity
        for name, value in ((f"{intensity}_init", init), (f"{intensity}_end", end)):
            self.register_buffer(name, torch.tensor(float(value), device=device))
        self.register_buffer(intensity, torch.tensor(float(init), device=device))
        self.annealing_num_steps = annealing_num_steps
        self.action_key = unravel_key(action_key)
        self.in_keys = [self.action_key]
        self.out_keys = [self.action_key]
        self._leaf: TensorSpec | None = None
        self._spec: Composite | None = None
        if spec is not None:
            self.spec = spec if device is None else spec.to(device)

    @property
    def spec(self) -> Composite | None:
        """The action's spec, as a composite that holds it at `action_key`."""
        return self._spec

    @spec.setter
    def spec(self, spec: TensorSpec) -> None:
        if not isinstance(spec, Composite):
            spec = Composite({self.action_key: spec})
        self._leaf = spec.get(self.action_key, None)
        if self._leaf is None:
            raise SpecError(
                f"`{self.action_key}` is not in the spec, whose keys are "
                f"{list(spec.keys(True, True))}: pass `action_key=`, or the action's own spec."
            )
        self._spec = spec

    @property
    def action_spec(self) -> TensorSpec:
        """The leaf spec of the action.

        Raises:
            SpecError: it has not been set.
        """
        if self._leaf is None:
            raise SpecError(
                f"`{type(self).__name__}` has no spec for `{self.action_key}`: pass `spec=`, set "
                "`module.spec`, or call `set_exploration_modules_spec_from_env(policy, env)`."
            )
        return self._leaf

    def step(self, frames: int = 1) -> None:
        """Anneal: count `frames` more frames."""
        now, end = getattr(self, self._intensity), getattr(self, f"{self._intensity}_end")
        rate = (getattr(self, f"{self._intensity}_init") - end) / self.annealing_num_steps
        now.copy_(torch.maximum(end, now - frames * rate))

    @abstractmethod
    def _disturb(self, action: Tensor, tensordict: TensorDictBase) -> Tensor:
        """Return the action taken instead of `action`."""

    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Replace the action, in exploration mode only."""
        if not explores():
            return tensordict
        try:
            action = tensordict[self.action_key]
        except KeyError as error:
            raise missing_key(self, self.in_keys, tensordict) from error
        return tensordict.set(self.action_key, self._disturb(action, tensordict))

    def _project(self, action: Tensor) -> Tensor:
        """Return `action` brought into the spec; the dtype stays, as it does without noise."""
        return self.action_spec.project(action).to(action.dtype)

    def _lead(self, action: Tensor) -> torch.Size:
        """Return the dimensions that `action` has before those of its spec.

        Raises:
            SpecError: the action does not end with the spec's shape.
        """
        shape = self.action_spec.shape
        split = action.dim() - len(shape)
        if split < 0 or action.shape[split:] != shape:
            raise SpecError(
                f"`{self.action_key}` has shape {list(action.shape)}, the spec of "
                f"`{type(self).__name__}` {list(shape)}: pass the spec of one env "
                "(`env.action_spec_unbatched`), or the spec of this batch."
            )
        return action.shape[:split]
