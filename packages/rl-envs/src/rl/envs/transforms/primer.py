"""TensorDictPrimer: entries that the env does not give, such as the hidden state of a policy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from tensordict import TensorDictBase
from torch import Tensor

from rl.core.contract.keys import NestedKey, unravel_key
from rl.core.errors import ShapeError, SpecError
from rl.core.specs import Composite, TensorSpec
from rl.core.transform import Transform
from rl.envs.transforms.flag_groups import expand_mask, find_mask
from rl.envs.transforms.leaf_spec import leaf_keys

__all__ = ["TensorDictPrimer"]


class TensorDictPrimer(Transform):
    """Write entries at reset and carry them along, so that a policy can read them from the start.

    Reads:
        the primed entries, of the previous step.
    Writes:
        the primed entries: a default at reset; at each step what the policy wrote, else the value
            before.

    Args:
        primers: keys and specs, as a mapping or a `Composite`.
        random: draw the values from the specs.
        default_value: what is written otherwise: a number, a function without arguments, or one of
            either per key; 0 by default.
        reset_key: the mask of a partial reset; by default the one that governs the entry.
        expand_specs: give the specs the batch size of the env. By default this is done where they
            lack it; with False a spec that lacks it raises. They move to the device of the env.
        single_default_value: `default_value` is called once, with `reset=mask`, and returns a
            TensorDict with all entries.
        call_before_env_reset: write the entries into the input of the env's reset as well.
        kwargs: further primers.

    Raises:
        SpecError: there are no primers, or `random` and `default_value` are both given.

    Example:
        >>> from tensordict import TensorDict
        >>> from rl.core.specs import Unbounded
        >>> primer = TensorDictPrimer(hidden=Unbounded(shape=(2,)))
        >>> primer._reset(None, TensorDict())["hidden"]
        tensor([0., 0.])
    """

    batchable = True

    def __init__(
        self,
        primers: Mapping[str, TensorSpec] | Composite | None = None,
        random: bool | None = None,
        default_value: float | Callable | Mapping[NestedKey, float | Callable] | None = None,
        reset_key: NestedKey | None = None,
        expand_specs: bool | None = None,
        single_default_value: bool = False,
        call_before_env_reset: bool = False,
        **kwargs: TensorSpec,
    ) -> None:
        entries = {**dict(primers.items() if primers is not None else {}), **kwargs}
        if not entries:
            raise SpecError(
                "`TensorDictPrimer` has no entries: name them, `TensorDictPrimer(hidden=spec)`."
            )
        if random and default_value is not None:
            raise SpecError("Give `random=True` or `default_value`, not both.")
        super().__init__()
        shape = primers.shape if isinstance(primers, Composite) else ()
        self.primers = Composite({k: v.clone() for k, v in entries.items()}, shape=shape)
        self.random = bool(random)
        self.default_value = 0.0 if default_value is None else default_value
        self.reset_key = reset_key
        self.expand_specs = expand_specs
        self.single_default_value = single_default_value
        self.call_before_env_reset = call_before_env_reset
        self._specs = {key: self.primers[key] for key in leaf_keys(self.primers)}
        self.out_keys = list(self._specs)

    # ---------------------------------------------------------------- data

    def _step(self, tensordict: TensorDictBase, next_tensordict: TensorDictBase) -> TensorDictBase:
        written = tensordict.get("next", None)
        for key in self.out_keys:
            if key in next_tensordict:
                continue
            value = None if written is None else written.get(key, None)
            if value is None:
                value = tensordict.get(key, None)
            if value is None:
                value = self._value(key, next_tensordict)
            next_tensordict.set(key, value)
        return next_tensordict

    def _reset(
        self, tensordict: TensorDictBase | None, tensordict_reset: TensorDictBase
    ) -> TensorDictBase:
        mask = find_mask(tensordict, self._place())
        if self.single_default_value and callable(self.default_value):
            values = self.default_value(reset=mask)
        else:
            values = {key: self._value(key, tensordict_reset) for key in self.out_keys}
        for key in self.out_keys:
            value = values[key]
            old = None if mask is None else tensordict.get(key, None)
            if isinstance(value, Tensor) and old is not None:
                value = torch.where(expand_mask(mask, value), value, old)
            tensordict_reset.set(key, value)
        return tensordict_reset

    def _inv_call(self, tensordict: TensorDictBase) -> TensorDictBase:
        # `call_before_env_reset`: the env's own reset sees the entries
        for key in self.out_keys:
            if key not in tensordict:
                tensordict.set(key, self._value(key, tensordict))
        return tensordict

    @property
    def has_inverse(self) -> bool:
        """Whether the entries are written before the env's reset."""
        return self.call_before_env_reset

    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Write the entries that are absent."""
        for key in self.out_keys:
            if key not in tensordict:
                tensordict.set(key, self._value(key, tensordict))
        return tensordict

    def _place(self) -> tuple[str, ...]:
        return (
            ()
            if self.reset_key is None or isinstance(self.reset_key, str)
            else (self.reset_key[:-1])
        )

    def _value(self, key: NestedKey, tensordict: TensorDictBase) -> Any:  # noqa: ANN401
        spec = self._specs[key]
        # one that was not expanded to the batch of the data yet
        extra = tensordict.batch_size
        if spec.shape[: len(extra)] == extra:
            extra = ()
        if self.random:
            return spec.rand(extra)
        default = self.default_value
        if isinstance(default, Mapping):
            default = {unravel_key(k): v for k, v in default.items()}.get(key, 0.0)
        if callable(default):
            value = default()
            if isinstance(value, Tensor) and value.shape != torch.Size((*extra, *spec.shape)):
                value = value.expand(*extra, *spec.shape)
            return value
        zero = spec.zero(extra)
        return torch.full_like(zero, default) if isinstance(zero, Tensor) and default else zero

    # ---------------------------------------------------------------- specs

    def transform_reward_spec(self, reward_spec: Composite) -> Composite:
        """Return the reward spec as it is."""
        return reward_spec

    def transform_done_spec(self, done_spec: Composite) -> Composite:
        """Return the done spec as it is."""
        return done_spec

    def transform_observation_spec(self, observation_spec: Composite) -> Composite:
        """Add the primed entries."""
        return self._add(observation_spec)

    def transform_state_spec(self, state_spec: Composite) -> Composite:
        """Declare the primed entries as inputs."""
        return self._add(state_spec)

    def _add(self, spec: Composite) -> Composite:
        primers = self._with_batch(spec.shape, spec.device)
        self._specs = {key: primers[key] for key in leaf_keys(primers)}
        for key in list(primers.keys()):
            if key in spec and isinstance(primers[key], Composite):
                spec[key].update(primers[key])
            else:
                spec[key] = primers[key]
        return spec

    def _with_batch(self, batch: torch.Size, device: torch.device | None) -> Composite:
        entries = {}
        for key in list(self.primers.keys()):
            entry = self.primers[key].clone()
            if device is not None:
                entry = entry.to(device)
            fits = entry.shape[: len(batch)] == batch
            if not fits and self.expand_specs is False:
                raise ShapeError(
                    f"The primer `{key}` has shape {list(entry.shape)}, expected it to start with "
                    f"the batch size {list(batch)}: expand it, or pass `expand_specs=True`."
                )
            if self.expand_specs or not fits:
                entry = entry.expand(*batch, *entry.shape)
            entries[key] = entry
        return Composite(entries, shape=batch)
