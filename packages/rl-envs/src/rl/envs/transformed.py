"""`TransformedEnv`: an env seen through transforms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from tensordict import TensorDictBase
from torch import Size, Tensor

from rl.core import Compose, RLError, TensorSpec, Transform, auto_unwrap_transformed_env
from rl.core.transform import as_transform
from rl.envs import stepping
from rl.envs.base import EnvBase
from rl.envs.env_specs import EnvSpecs

__all__ = ["TransformedEnv"]

_OUTPUTS = ("observation", "reward", "done")


class TransformedEnv(EnvBase):
    """An env and a chain of transforms, from the env outwards.

    Args:
        env: the env to see through the transforms. Another `TransformedEnv` is taken apart, so
            that all transforms form one chain, unless `auto_unwrap` is false.
        transform: a transform, a `Compose`, or a function on TensorDicts; an empty chain if None.
        cache_specs: derive the specs once, not at each access.
        auto_unwrap: whether a nested `TransformedEnv` is taken apart; what
            `set_auto_unwrap_transformed_env` set by default, and that is true.
        device: deliver data there.

    Example:
        >>> from rl.envs import GymEnv, RewardSum, StepCounter
        >>> env = TransformedEnv(GymEnv("CartPole-v1"), StepCounter(max_steps=10))
        >>> env = env.append_transform(RewardSum())
        >>> env.rollout(100)["next", "step_count"].max()
        tensor(10)
    """

    def __init__(
        self,
        env: EnvBase,
        transform: Transform | Callable | None = None,
        *,
        cache_specs: bool = True,
        auto_unwrap: bool | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        chain = Compose() if transform is None else as_transform(transform)
        if auto_unwrap is None:
            auto_unwrap = auto_unwrap_transformed_env()
        if isinstance(env, TransformedEnv) and auto_unwrap:
            inner = [t.clone() for t in _links(env.transform)]
            outer = [_released(t) for t in _links(chain)]
            chain, env = Compose(*inner, *outer), env.base_env
        if device is not None:
            env = env.to(device)
        super().__init__(
            device=chain.transform_env_device(env.device),
            batch_size=chain.transform_env_batch_size(env.batch_size),
            allow_done_after_reset=env.allow_done_after_reset,
        )
        self.cache_specs = cache_specs
        self.base_env = env
        self.transform = chain
        chain.set_container(self)
        self._refresh()
        _ = self.specs_holder  # a transform that reads a key which is not there raises here

    # ---------------------------------------------------------------- specs

    @property
    def specs_holder(self) -> EnvSpecs:
        """The specs after the transforms."""
        holder = self.__dict__.get("_derived")
        if holder is None or not self.cache_specs:
            holder = self.__dict__["_derived"] = self._derive()
        return holder

    def _derive(self) -> EnvSpecs:
        holder = EnvSpecs(self.batch_size, self.device)
        outputs = self.transform.transform_output_spec(self.base_env.output_spec.clone())
        inputs = self.transform.transform_input_spec(self.base_env.input_spec.clone())
        for group in ("action", "state", *_OUTPUTS):
            source = outputs if group in _OUTPUTS else inputs
            holder.set(group, source[f"full_{group}_spec"])
        return holder

    def _refresh(self) -> None:
        """Forget what was derived from the specs or the chain."""
        self.__dict__["_derived"] = None
        self.__dict__["_batch_size"] = Size(
            self.transform.transform_env_batch_size(self.base_env.batch_size)
        )
        self.__dict__["_device"] = self.transform.transform_env_device(self.base_env.device)
        self.__dict__["_has_inverse"] = self.transform.has_inverse
        self._flags_complete = False
        self._action_check.forget()

    def _set_spec(self, group: str, spec: TensorSpec) -> None:
        raise RLError(
            f"The {group} spec of a TransformedEnv follows from its base env: set "
            f"`env.base_env.{group}_spec`, or add a transform."
        )

    def add_truncated_keys(self) -> TransformedEnv:
        """Add a truncated flag to each done group of the base env, and return the env."""
        self.base_env.add_truncated_keys()
        self._refresh()
        return self

    # ----------------------------------------------------------------- data

    def _step(self, tensordict: TensorDictBase) -> TensorDictBase:
        inner = self.transform.inv(tensordict) if self._has_inverse else tensordict
        return self.transform._step(inner, self.base_env.step_next(inner))

    def _masked_step_next(self, tensordict: TensorDictBase, mask: Tensor) -> TensorDictBase:
        # transforms that keep a state of their own must know which rows are stepped
        inner = self.transform.inv(tensordict.copy()).set("_step", mask)
        following = self.transform._step(inner, self.base_env._masked_step_next(inner, mask))
        return stepping.keep_where(mask, following, self._stand_still(tensordict))

    def _reset(self, tensordict: TensorDictBase | None = None, **kwargs: Any) -> TensorDictBase:
        inner = None if tensordict is None else self.transform.inv(tensordict)
        return self.transform._reset(inner, self.base_env.reset_root(inner, **kwargs))

    def rand_action(self, tensordict: TensorDictBase | None = None) -> TensorDictBase:
        """Write a random action: as the base env draws it if the transforms leave actions alone."""
        draws_itself = type(self.base_env).rand_action is not EnvBase.rand_action
        if draws_itself and self.full_action_spec == self.base_env.full_action_spec:
            return self.base_env.rand_action(tensordict)
        return super().rand_action(tensordict)

    def _set_seed(self, seed: int | None) -> int | None:
        return self.base_env.set_seed(seed)

    # ------------------------------------------------------------ transforms

    def parent_of(self, transform: Transform) -> EnvBase:
        """Return the env as the innermost transform sees it."""
        return self.base_env

    def append_transform(self, transform: Transform | Callable) -> TransformedEnv:
        """Add `transform` on the outside, and return the env."""
        self.insert_transform(len(_links(self.transform)), transform)
        return self

    def insert_transform(self, index: int, transform: Transform | Callable) -> TransformedEnv:
        """Add `transform` before position `index` of the chain, and return the env."""
        if not isinstance(self.transform, Compose):
            self.set_transform(Compose(_released(self.transform)))
        self.transform.insert(index, transform)
        self._refresh()
        _ = self.specs_holder
        return self

    def set_transform(self, transform: Transform) -> None:
        """Replace the whole chain."""
        if self.transform.container is self:
            self.transform.reset_parent()
        self.transform = transform
        transform.set_container(self)
        self._refresh()

    # ------------------------------------------------------------- delegated

    @property
    def batch_locked(self) -> bool:  # type: ignore[override]
        """Whether the base env only takes data of its own batch size."""
        return self.base_env.batch_locked

    def resume_state(self) -> dict[str, Any]:
        """Return the resume state of the base env and the state of the transforms."""
        return {
            "base_env": self.base_env.resume_state(),
            "transform": dict(self.transform.state_dict()),
        }

    def load_resume_state(self, state: dict[str, Any]) -> None:
        """Restore the base env and the transforms."""
        self.base_env.load_resume_state(state["base_env"])
        self.transform.load_state_dict(state["transform"])

    def to(self, device: Any) -> TransformedEnv:  # noqa: ANN401 (what `torch.device` takes)
        """Deliver data on `device` from now on."""
        self.base_env.to(device)
        if device is not None:
            self.transform.to(device)
        self._refresh()
        return self

    def close(self, **kwargs: Any) -> None:
        """Close the base env and the transforms."""
        self.base_env.close(**kwargs)
        self.transform.close()
        super().close()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name.startswith("__") or "base_env" not in self.__dict__.get("_modules", {}):
                raise
            return getattr(self.base_env, name)

    def __repr__(self) -> str:
        return f"TransformedEnv(env={self.base_env}, transform={self.transform})"


def _links(transform: Transform) -> list[Transform]:
    return list(transform.transforms) if isinstance(transform, Compose) else [transform]


def _released(transform: Transform) -> Transform:
    transform.reset_parent()
    return transform


EnvBase.transformed_class = TransformedEnv
