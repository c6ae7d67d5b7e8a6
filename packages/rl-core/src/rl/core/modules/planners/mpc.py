"""The base of planners that simulate an env."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import torch
from tensordict import TensorDictBase
from tensordict.nn import TensorDictModuleBase, dispatch
from torch import Tensor

from rl.core.contract.keys import NestedKey, unravel_key
from rl.core.contract.step import StepPlan
from rl.core.errors import RLError, SpecError
from rl.core.specs.base import TensorSpec
from rl.core.specs.bounded import Bounded
from rl.core.specs.composite import Composite

__all__ = ["MPCPlannerBase", "PlanningEnv", "check_count"]


@runtime_checkable
class PlanningEnv(Protocol):
    """What a planner asks of an env: specs, and a `step` that takes a batch of any size."""

    batch_locked: bool
    batch_size: torch.Size
    action_spec: TensorSpec
    observation_spec: Composite

    def step(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Write the result of the action under `"next"`."""
        ...


class MPCPlannerBase(TensorDictModuleBase, ABC):
    """Model-predictive control: plan from the given states in an env, return the first action.

    Subclasses write `planning`. The TensorDict of the caller gets the action and is otherwise left
    as it was; the env is only stepped, on copies.

    Args:
        env: a stateless env (`batch_locked` is false) with continuous actions: what it needs
            travels in the TensorDict.
        action_key: where the action goes.

    Reads:
        observation: the entries of `env.observation_spec`.
    Writes:
        action: `[*B, *A]`, inside the action's spec.

    Raises:
        RLError: `env` is no env, or takes one batch size only.
        SpecError: it has several actions, or one that is not continuous.

    Example:
        >>> from tensordict import TensorDict
        >>> from rl.core.specs import Bounded
        >>> class Line:
        ...     batch_locked, batch_size = False, torch.Size([])
        ...     observation_spec = Composite(position=Bounded(-9.0, 9.0, (1,)))
        ...     action_spec = Bounded(-1.0, 1.0, (1,))
        ...     def step(self, td):
        ...         position = td["position"] + td["action"]
        ...         result = {"position": position, "reward": -position.abs()}
        ...         return td.set("next", TensorDict(result, td.batch_size))
        >>> class Home(MPCPlannerBase):
        ...     def planning(self, tensordict):
        ...         return self.action_spec.project(-tensordict["position"])
        >>> Home(Line())(TensorDict(position=torch.tensor([0.5])))["action"]
        tensor([-0.5000])
    """

    def __init__(self, env: PlanningEnv, action_key: NestedKey = "action") -> None:
        super().__init__()
        _check_env(env)
        self.env = env
        self.action_key = unravel_key(action_key)
        self.action_spec = _continuous(env.action_spec, self.action_key)
        self.in_keys = list(env.observation_spec.keys(True, True))
        self.out_keys = [self.action_key]

    @abstractmethod
    def planning(self, tensordict: TensorDictBase) -> Tensor:
        """Return the action `[*B, *A]` to take in the states of `tensordict`."""

    @dispatch(auto_batch_size=False)
    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Write the planned action."""
        with torch.no_grad():
            action = self.planning(self._batched(tensordict))
        return tensordict.set(self.action_key, action)

    def _batched(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Return `tensordict` with the batch size of its states: bare tensors have none."""
        first = tensordict.get(self.in_keys[0], None)
        if tensordict.ndim or first is None:
            return tensordict
        event = self.env.observation_spec[self.in_keys[0]].ndim - len(self.env.batch_size)
        batched = tensordict.copy()
        batched.batch_size = first.shape[: first.ndim - event]
        return batched

    def candidates(self, tensordict: TensorDictBase, number: int) -> TensorDictBase:
        """Return copies of the states, `[number, *B]`, that the env may write into."""
        return tensordict.expand(number, *tensordict.batch_size).clone()

    def initial_distribution(
        self, tensordict: TensorDictBase, horizon: int
    ) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of the first candidates, each `[H, 1, *B, *A]`.

        They are the centre and half the width of a bounded action, 0 and 1 otherwise.
        """
        spec = self.action_spec
        event = spec.shape[len(self.env.batch_size) :]
        device = spec.device if tensordict.device is None else tensordict.device
        shape = (horizon, 1, *tensordict.batch_size, *event)
        mean = torch.zeros(shape, dtype=spec.dtype, device=device)
        std = torch.ones_like(mean)
        if isinstance(spec, Bounded):
            low, high = spec.low.to(device), spec.high.to(device)
            width = (high - low) / 2
            mean = torch.where(width.isfinite(), low + width, mean)
            std = torch.where(width.isfinite(), width, std)
        return mean, std

    def simulate(self, start: TensorDictBase, actions: Tensor) -> Iterator[TensorDictBase]:
        """Yield the transitions of `actions`, `[H, N, *B, *A]`, from the states `[N, *B]`."""
        plan = StepPlan(action_keys=[self.action_key])
        root = start.copy()
        for action in actions:
            transition = self.env.step(root.set(self.action_key, action))
            yield transition
            root = plan(transition)


def check_count(planner: str, name: str, value: int, most: int | None = None) -> int:
    """Return a whole number of at least 1, and at most `most`.

    Raises:
        RLError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise RLError(f"`{planner}` was given {name}={value!r}, expected a whole number above 0.")
    if most is not None and value > most:
        raise RLError(
            f"`{planner}` was given {name}={value} of {most} candidates: lower `{name}`, or raise "
            "`num_candidates`."
        )
    return value


def _check_env(env: PlanningEnv) -> None:
    if not isinstance(env, PlanningEnv):
        raise RLError(
            f"The planner was given a `{type(env).__name__}`, expected an env with `step`, "
            "`action_spec`, `observation_spec`, `batch_size` and `batch_locked`."
        )
    if env.batch_locked:
        raise RLError(
            f"`{type(env).__name__}` takes its own batch size only, a planner steps many "
            "candidates at once: use a stateless env (`batch_locked = False`), such as "
            "`PendulumEnv` or a learned model."
        )


def _continuous(spec: TensorSpec, action_key: NestedKey) -> TensorSpec:
    """Return the leaf spec of the action."""
    if isinstance(spec, Composite):
        keys = list(spec.keys(True, True))
        if keys != [action_key]:
            raise SpecError(
                f"The env has the actions {keys}, the planner plans `{action_key}`: pass "
                "`action_key=`, or an env with this action alone."
            )
        spec = spec[action_key]
    if not spec.dtype.is_floating_point:
        raise SpecError(
            f"The action's spec is `{type(spec).__name__}` of {spec.dtype}, the planner draws real "
            "numbers: use an env with continuous actions."
        )
    return spec
