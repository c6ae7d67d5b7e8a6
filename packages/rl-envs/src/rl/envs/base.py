"""`EnvBase`: the interface that every environment shares."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from tensordict import NestedKey, TensorDict, TensorDictBase
from torch import Size, nn

from rl.core import Composite, RLError, TensorSpec, Transform
from rl.core.contract import in_next
from rl.core.seeding import seed_generator
from rl.envs import rollouts, stepping
from rl.envs.action_check import ActionCheck
from rl.envs.env_specs import EnvSpecs, StepKeys
from rl.envs.spec_properties import (
    full_spec_property,
    keys_property,
    spec_property,
    unbatched_property,
)

if TYPE_CHECKING:
    from rl.envs.vector.slots import Slot

__all__ = ["EnvBase"]


class EnvBase(nn.Module):
    """An environment: specs, `reset`, `step`, and what follows from them.

    A subclass sets its specs in the constructor and writes `_reset`, `_step` and `_set_seed`. Each
    returns fresh tensors: what an env hands out is never written again.

    Args:
        device: where data is delivered; None leaves tensors where the simulator makes them.
        batch_size: the env's batch dims, which prefix every spec.
        run_type_checks: compare every step with the specs (for debugging; slow).
        allow_done_after_reset: accept an episode that is over at its reset.

    Example:
        >>> import torch
        >>> from tensordict import TensorDict
        >>> from rl.core import Composite, OneHot, Unbounded
        >>> class Count(EnvBase):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.observation_spec = Composite(observation=Unbounded((1,)))
        ...         self.action_spec = OneHot(2)
        ...     def _reset(self, tensordict=None):
        ...         self.count = 0.0
        ...         return TensorDict({"observation": torch.zeros(1)})
        ...     def _step(self, tensordict):
        ...         self.count += 1
        ...         observation = torch.full((1,), self.count)
        ...         return TensorDict({"observation": observation, "reward": torch.ones(1),
        ...                            "done": observation >= 3})
        ...     def _set_seed(self, seed):
        ...         pass
        >>> Count().rollout(10)["next", "observation"].flatten()
        tensor([1., 2., 3.])
    """

    #: whether the env only takes data of its own batch size (a stateless env takes any)
    batch_locked: bool = True
    #: what `append_transform` wraps an env in; `rl.envs.transformed` fills it in, as it needs this
    #: class
    transformed_class: ClassVar[type[EnvBase]]

    def __init__(
        self,
        *,
        device: torch.device | str | int | None = None,
        batch_size: Size | Iterable[int] | None = None,
        run_type_checks: bool = False,
        allow_done_after_reset: bool = False,
    ) -> None:
        super().__init__()
        self.__dict__["_device"] = None if device is None else torch.device(device)
        self.__dict__["_batch_size"] = Size(() if batch_size is None else batch_size)
        self.__dict__["specs_holder"] = EnvSpecs(self._batch_size, self._device)
        self.run_type_checks = run_type_checks
        self.allow_done_after_reset = allow_done_after_reset
        self.is_closed = False
        self._flags_complete = False
        self._action_check = ActionCheck(self)

    # ------------------------------------------------- what a subclass writes

    @abstractmethod
    def _reset(self, tensordict: TensorDictBase | None = None, **kwargs: Any) -> TensorDictBase:
        """Return the first observation (and flags, if any is true) of each env.

        Args:
            tensordict: what `reset` was called with; may hold `_reset` masks. On a partial reset
                the rows that are not reset may hold anything: `reset` puts the old ones back.
            kwargs: what else `reset` was called with.
        """
        raise NotImplementedError

    @abstractmethod
    def _step(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Return observation, reward and flags after the action of `tensordict`."""
        raise NotImplementedError

    @abstractmethod
    def _set_seed(self, seed: int | None) -> int | None:
        """Seed the simulator; return the seed after the last one used, if more than one was."""
        raise NotImplementedError

    def resume_state(self) -> dict[str, Any]:
        """Return what, besides the specs, a new env of this class needs to go on exactly from here.

        The result is a nested dict of tensors, numbers, strings and None, for a checkpoint. An env
        whose state travels in the TensorDict has none.

        Raises:
            RLError: the env cannot be resumed exactly.
        """
        if not self.batch_locked:
            return {}
        raise RLError(
            f"{type(self).__name__} does not say how to resume: write `resume_state` and "
            "`load_resume_state`, or train without exact resume."
        )

    def load_resume_state(self, state: dict[str, Any]) -> None:
        """Go on from where `resume_state` was called."""

    # ------------------------------------------------------------- identity

    @property
    def device(self) -> torch.device | None:
        """Where data is delivered."""
        return self._device

    @property
    def batch_size(self) -> Size:
        """The env's batch dims."""
        return self._batch_size

    @property
    def shape(self) -> Size:
        """The env's batch dims."""
        return self.batch_size

    @property
    def ndim(self) -> int:
        """Number of batch dims."""
        return len(self.batch_size)

    def numel(self) -> int:
        """Return the number of envs in the batch, 1 at least."""
        return max(1, self.batch_size.numel())

    # ---------------------------------------------------------------- specs

    action_spec = spec_property("action")
    full_action_spec = full_spec_property("action")
    action_spec_unbatched = unbatched_property("action_spec")
    full_action_spec_unbatched = unbatched_property("full_action_spec")
    action_keys = keys_property("action_keys")
    state_spec = spec_property("state")
    full_state_spec = full_spec_property("state")
    state_spec_unbatched = unbatched_property("state_spec")
    full_state_spec_unbatched = unbatched_property("full_state_spec")
    state_keys = keys_property("state_keys")
    observation_spec = spec_property("observation")
    full_observation_spec = full_spec_property("observation")
    observation_spec_unbatched = unbatched_property("observation_spec")
    full_observation_spec_unbatched = unbatched_property("full_observation_spec")
    observation_keys = keys_property("observation_keys")
    reward_spec = spec_property("reward")
    full_reward_spec = full_spec_property("reward")
    reward_spec_unbatched = unbatched_property("reward_spec")
    full_reward_spec_unbatched = unbatched_property("full_reward_spec")
    reward_keys = keys_property("reward_keys")
    done_spec = spec_property("done")
    full_done_spec = full_spec_property("done")
    done_spec_unbatched = unbatched_property("done_spec")
    full_done_spec_unbatched = unbatched_property("full_done_spec")
    done_keys = keys_property("done_keys")
    reset_keys = keys_property("reset_keys")
    input_spec_unbatched = unbatched_property("input_spec")
    output_spec_unbatched = unbatched_property("output_spec")

    def _get_spec(self, group: str) -> Composite:
        return self.specs_holder.get(group)

    def _set_spec(self, group: str, spec: TensorSpec) -> None:
        self.specs_holder.set(group, spec)
        self.__dict__["_flags_complete"] = False

    @property
    def keys_plan(self) -> StepKeys:
        """The key lists of a step."""
        return self.specs_holder.keys

    @property
    def action_key(self) -> NestedKey:
        """The key of the action, for an env that has one."""
        return self._single("action")

    @property
    def reward_key(self) -> NestedKey:
        """The key of the reward, for an env that has one."""
        return self._single("reward")

    @property
    def done_key(self) -> NestedKey:
        """The key of the done flag, for an env that has one group of flags."""
        groups = self.keys_plan.done_groups
        if len(groups) != 1:
            raise KeyError(f"The env has {len(groups)} done groups: use `env.done_keys`.")
        return groups[0].done

    def _single(self, group: str) -> NestedKey:
        keys = getattr(self.keys_plan, f"{group}_keys")
        if len(keys) != 1:
            raise KeyError(f"The env has {len(keys)} {group} keys, {keys}: use `env.{group}_keys`.")
        return keys[0]

    @property
    def input_spec(self) -> Composite:
        """`{full_action_spec, full_state_spec}`."""
        return self._bundle("action", "state")

    @property
    def output_spec(self) -> Composite:
        """`{full_observation_spec, full_reward_spec, full_done_spec}`."""
        return self._bundle("observation", "reward", "done")

    @property
    def specs(self) -> Composite:
        """`{input_spec, output_spec}`."""
        return Composite(
            input_spec=self.input_spec,
            output_spec=self.output_spec,
            shape=self.batch_size,
            device=self.device,
        )

    def _bundle(self, *groups: str) -> Composite:
        return Composite(
            {f"full_{group}_spec": self._get_spec(group) for group in groups},
            shape=self.batch_size,
            device=self.device,
        )

    def add_truncated_keys(self) -> EnvBase:
        """Add a truncated flag to each done group that lacks one, and return the env."""
        spec = self._get_spec("done").clone()
        for group in self.keys_plan.done_groups:
            if "truncated" not in group.listed:
                spec[group.truncated] = spec[group.done].clone()
        self._set_spec("done", spec)
        return self

    # ------------------------------------------------------- step and reset

    def step(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Take one step: read the action, write `"next"` into `tensordict` and return it.

        Args:
            tensordict: [*B] root with the action. Entries that the policy already wrote under
                "next" are kept, its states in any case; a `"_step"` mask [*B] or [*B, 1] leaves the
                envs where it is false as they are.

        Raises:
            MissingKeyError: there is no action.
            SpecError: the action's dtype kind, shape or one-hot form is not the spec's.
        """
        self._action_check(tensordict)
        written, mask = tensordict.get("next", None), tensordict.get("_step", None)
        next_tensordict = self.step_next(tensordict)
        if written is not None:
            unseen = stepping.unseen_states(self, written, next_tensordict)
            next_tensordict = stepping.with_states(unseen, written.copy(), next_tensordict, mask)
        tensordict.set("next", next_tensordict)
        if self.run_type_checks:
            self._check_types(tensordict)
        return tensordict

    def step_next(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Step and return the content of `"next"`, attached to nothing: the hot path."""
        if "_step" in tensordict:
            return self._masked_step_next(tensordict, tensordict.pop("_step"))
        return stepping.next_of(self, tensordict)

    def _masked_step_next(self, tensordict: TensorDictBase, mask: torch.Tensor) -> TensorDictBase:
        return stepping.partial_next_of(self, tensordict, mask)

    def _stand_still(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Return the content of "next" of an env that is not stepped."""
        plan = self.keys_plan
        still = tensordict.select(*plan.observation_keys, *plan.done_keys, strict=False)
        extra = () if self.batch_locked else tensordict.shape[: tensordict.ndim - self.ndim]
        return still.update(self._get_spec("reward").zero(extra))

    def reset(
        self,
        tensordict: TensorDictBase | None = None,
        *,
        set_state: bool = False,
        **kwargs: Any,
    ) -> TensorDictBase:
        """Start a new episode in every env, or where the `"_reset"` mask is true.

        Args:
            tensordict: None, or a root. With `"_reset"` masks ([*B] or [*B, 1] bool, at the level
                of their done flag; one at the root rules the nested ones) only these envs are
                reset and the data of the others is kept. It is updated in place and returned,
                without the masks.
            set_state: start from the state in `tensordict`, for envs that can.
            kwargs: handed to `_reset`.

        Raises:
            ShapeError: a mask has the wrong shape.
            RLError: the env is done at its reset and `allow_done_after_reset` is false.
        """
        if set_state:
            kwargs["set_state"] = True
        masks = stepping.reset_mask(self, tensordict)
        result = self.reset_root(tensordict, **kwargs)
        if masks is not None:
            result = stepping.merge_reset(masks, tensordict, result)
        if not self.allow_done_after_reset:
            stepping.check_not_done(self, result, masks)
        if tensordict is None:
            return result
        for key in ("_reset", *self.reset_keys):
            tensordict.pop(key, None)
        return tensordict.update(result)

    def reset_root(self, tensordict: TensorDictBase | None = None, **kwargs: Any) -> TensorDictBase:
        """Run `_reset` and add the flags that it left out; full-sized, merged with nothing."""
        result = self._reset(tensordict, **kwargs)
        extra = result.batch_size[: result.ndim - self.ndim]
        for key in self.done_keys:
            if key not in result:
                result.set(key, self._get_spec("done")[key].zero(extra))
        return result

    def step_mdp(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Return the root of the following step: `rl.core.step_mdp` with the env's keys."""
        return self.keys_plan.step_plan(tensordict)

    def step_and_maybe_reset(
        self, tensordict: TensorDictBase
    ) -> tuple[TensorDictBase, TensorDictBase]:
        """Step, then return the transition and the next root, reset wherever it is done."""
        return stepping.step_and_maybe_reset(self, tensordict)

    def maybe_reset(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Reset a root wherever it is done."""
        return stepping.maybe_reset(self, tensordict)

    def any_done(self, tensordict: TensorDictBase) -> bool:
        """Tell whether any trajectory of `tensordict` is over."""
        return self.keys_plan.any_done(tensordict)

    def rollout(
        self, max_steps: int, policy: Callable | None = None, *args: Any, **kwargs: Any
    ) -> Any:  # noqa: ANN401
        """Run `policy` (random if None) for up to `max_steps`: see `rl.envs.rollouts.rollout`."""
        return rollouts.rollout(self, max_steps, policy, *args, **kwargs)

    def _reset_in_place(self, tensordict: TensorDictBase) -> bool:
        """Reset a root where it is done, if there is a road quicker than `reset`; tell whether."""
        del tensordict
        return False

    # --------------------------------------------------------------- slots

    def _bind_step(self, slot: Slot) -> Callable[[], None]:
        """Return what steps from `slot.root` into `slot.next`, a row of a vector env's buffers."""
        return lambda: slot.next.update_(self.step_next(slot.root))

    def _bind_reset(self, slot: Slot) -> Callable[[], None]:
        """Return what resets into `slot.root`."""
        return lambda: slot.root.update_(self.reset())

    # --------------------------------------------------------------- actions

    def rand_action(self, tensordict: TensorDictBase | None = None) -> TensorDictBase:
        """Write an action drawn from the spec into `tensordict` (a new one if None)."""
        if tensordict is None:
            tensordict = TensorDict({}, batch_size=self.batch_size, device=self.device)
        extra = () if self.batch_locked else tensordict.shape[: tensordict.ndim - self.ndim]
        for key, spec in self.keys_plan.action_specs:
            tensordict.set(key, spec.rand(extra))
        return tensordict

    def rand_step(self, tensordict: TensorDictBase | None = None) -> TensorDictBase:
        """Take one step with a random action."""
        return self.step(self.rand_action(tensordict))

    def all_actions(self, tensordict: TensorDictBase | None = None) -> TensorDictBase:
        """Return every action of a discrete action space, stacked along dim 0."""
        return self._get_spec("action").enumerate()

    def cardinality(self, tensordict: TensorDictBase | None = None) -> int:
        """Return the number of actions, infinite for a continuous space."""
        return self._get_spec("action").cardinality()

    # ------------------------------------------------------------------ seed

    def set_seed(self, seed: int | None = None, static_seed: bool = False) -> int | None:
        """Seed torch and the simulator, and return the next seed of the chain.

        Args:
            seed: the seed.
            static_seed: return `seed` itself instead of the next one.
        """
        following = self._set_seed(seed)
        if seed is not None:
            torch.manual_seed(seed)
        if seed is None or static_seed:
            return seed
        return seed_generator(seed) if following is None else following

    # ------------------------------------------------------------ inspection

    def fake_tensordict(self) -> TensorDictBase:
        """Return a zero transition with the keys, shapes and dtypes of a real one."""
        root = self._get_spec("state").zero()
        for group in ("observation", "action", "done"):
            root.update(self._get_spec(group).zero())
        following = self._get_spec("observation").zero()
        for group in ("reward", "done"):
            following.update(self._get_spec(group).zero())
        return root.set("next", following)

    def _check_types(self, tensordict: TensorDictBase) -> None:
        for group in ("observation", "reward", "done"):
            for key, spec in self._get_spec(group).items(True, True):
                spec.assert_is_in(tensordict[in_next(key)])

    # ------------------------------------------------------------ transforms

    def with_transform(self, transform: Transform) -> EnvBase:
        """Return a new env: this one seen through `transform`."""
        return self.transformed_class(self, transform, auto_unwrap=False)

    def append_transform(self, transform: Transform | Callable) -> EnvBase:
        """Return this env with `transform` on the outside."""
        return self.transformed_class(self, transform)

    # ----------------------------------------------------------------- places

    def to(self, device: Any) -> EnvBase:  # noqa: ANN401 (what `torch.device` takes)
        """Deliver data on `device` from now on."""
        device = None if device is None else torch.device(device)
        self.__dict__["_device"] = device
        self.specs_holder.to(device)
        return super().to(device) if device is not None else self

    def close(self, **kwargs: Any) -> None:
        """Release the simulator; closing twice is harmless."""
        self.is_closed = True

    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Step."""
        return self.step(tensordict)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(batch_size={list(self.batch_size)}, device={self.device})"
