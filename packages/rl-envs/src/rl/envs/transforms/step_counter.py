"""StepCounter: the number of steps since the last reset, and truncation at a maximum."""

from __future__ import annotations

import torch
from tensordict import TensorDictBase

from rl.core.contract.keys import NestedKey
from rl.core.errors import MissingKeyError, SpecError
from rl.core.specs import Binary, Bounded, Composite, TensorSpec
from rl.envs.transforms.flag_groups import (
    FlagGroup,
    expand_mask,
    find_mask,
    flag_groups,
    flag_groups_of_data,
)
from rl.envs.transforms.leaf_spec import leaf_keys, put_leaf
from rl.envs.transforms.tracker import Tracker

__all__ = ["StepCounter"]

MAX_COUNT = torch.iinfo(torch.int64).max


class StepCounter(Tracker):
    """Count the steps since the last reset and, optionally, truncate at `max_steps`.

    Every group of done flags has its counter; flags at the root stand for those nested below them.

    Reads:
        step_count: `[*B, 1]` int64, of the previous step.
        truncated, done: `[*B, 1]` bool, with `max_steps`.
    Writes:
        step_count: `[*B, 1]` int64, 0 after reset.
        truncated: `[*B, 1]` bool, true where `step_count >= max_steps` or the env says so.
        done: `[*B, 1]` bool, true where truncated (unless `update_done=False`).

    Args:
        max_steps: the number of steps after which a trajectory is truncated; None for no limit.
        truncated_key: leaf name of the truncation flag; one that is not called `truncated` is
            declared among the observations, as a done flag of that name has no meaning.
        step_count_key: leaf name of the counter.
        update_done: whether `done` follows the truncation.

    Raises:
        ValueError: `max_steps` is not a positive integer, or a key is not a string.

    Example:
        >>> import torch
        >>> from tensordict import TensorDict
        >>> counter = StepCounter(max_steps=2)
        >>> td = counter._reset(None, TensorDict({"done": torch.zeros(1, dtype=torch.bool)}))
        >>> after = counter._step(td, TensorDict({"done": torch.zeros(1, dtype=torch.bool)}))
        >>> td["step_count"].item(), after["step_count"].item(), after["done"].item()
        (0, 1, False)
    """

    def __init__(
        self,
        max_steps: int | None = None,
        truncated_key: str = "truncated",
        step_count_key: str = "step_count",
        update_done: bool = True,
    ) -> None:
        if max_steps is not None and (not isinstance(max_steps, int) or max_steps < 1):
            raise SpecError(
                f"`max_steps` is {max_steps!r}: give an integer of at least 1, or None."
            )
        for name, key in (("truncated_key", truncated_key), ("step_count_key", step_count_key)):
            if not isinstance(key, str):
                raise SpecError(
                    f"`{name}` is {key!r}: give a string, the leaf name written next to each "
                    "`done`."
                )
        super().__init__()
        self.max_steps = max_steps
        self.truncated_key = truncated_key
        self.step_count_key = step_count_key
        self.update_done = update_done
        self._groups: tuple[FlagGroup, ...] | None = None

    def _step(self, tensordict: TensorDictBase, next_tensordict: TensorDictBase) -> TensorDictBase:
        key = self.step_count_key
        groups = self._groups
        if groups is None:
            groups = self._groups_of(next_tensordict)
        for group in groups:
            before, after = tensordict, next_tensordict
            for name in group.path:
                before, after = before[name], after[name]
            try:
                count = before[key] + 1
            except KeyError:  # the caller steps from data that no reset has seen
                count = torch.ones_like(after["done"], dtype=torch.int64)
            if self.max_steps is None:
                after.set(key, count)
            else:
                self._truncate(after, count)
        return next_tensordict

    def _truncate(self, after: TensorDictBase, count: torch.Tensor) -> None:
        truncated = count >= self.max_steps
        known = after.get(self.truncated_key, None)
        if known is not None:
            truncated = truncated | known
        entries = {self.step_count_key: count, self.truncated_key: truncated}
        if self.update_done:
            done = after.get("done", None)
            if done is not None:
                entries["done"] = done | truncated
        after.update(entries)

    def _reset(
        self, tensordict: TensorDictBase | None, tensordict_reset: TensorDictBase
    ) -> TensorDictBase:
        for group in self._groups or self._groups_of(tensordict_reset):
            node = group.node(tensordict_reset)
            flag = node.get("done", None)
            shape = group.shape if flag is None else flag.shape
            count = torch.zeros(shape, dtype=torch.int64, device=node.device)
            mask = find_mask(tensordict, group.path)
            if mask is not None:
                old = tensordict.get(group.key(self.step_count_key), None)
                if old is not None:
                    count = torch.where(expand_mask(mask, shape), count, old)
            node.set(self.step_count_key, count)
            if self.max_steps is not None and self.truncated_key not in node:
                node.set(self.truncated_key, torch.zeros_like(count, dtype=torch.bool))
        return tensordict_reset

    def _groups_of(self, tensordict: TensorDictBase) -> tuple[FlagGroup, ...]:
        groups = flag_groups_of_data(tensordict)
        if not groups:
            raise MissingKeyError(
                "`StepCounter` finds no done flag to count beside: give it the result of a reset "
                "or a step that holds `done`, or add it to an env with `TransformedEnv`."
            )
        return groups

    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Refuse: rows sampled from a buffer need not follow each other.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(
            "`StepCounter` counts the steps of an env: add it to an env with `TransformedEnv`, and "
            "store the `step_count` that it writes."
        )

    # ---------------------------------------------------------------- specs

    def _resolve(self, output_spec: Composite) -> None:
        self._groups = flag_groups(output_spec["full_done_spec"])
        self.out_keys = [group.key(self.step_count_key) for group in self._groups]

    def _entries(self, batch_size: torch.Size) -> list[tuple[NestedKey, TensorSpec]]:
        return [
            (
                group.key(self.step_count_key),
                Bounded(0, MAX_COUNT, group.shape, device=group.device, dtype=torch.int64),
            )
            for group in self._groups or (FlagGroup((), torch.Size((*batch_size, 1))),)
        ]

    def transform_observation_spec(self, observation_spec: Composite) -> Composite:
        """Add the counters, and the truncation flag if it has a name of its own."""
        spec = super().transform_observation_spec(observation_spec)
        if self.max_steps is not None and self.truncated_key != "truncated":
            self._add_flags(spec, self._groups or ())
        return spec

    def transform_done_spec(self, done_spec: Composite) -> Composite:
        """Add the truncation flag to each done group, if there is a limit."""
        if self.max_steps is not None and self.truncated_key == "truncated":
            self._add_flags(done_spec, flag_groups(done_spec))
        return done_spec

    def _add_flags(self, spec: Composite, groups: tuple[FlagGroup, ...]) -> None:
        for group in groups:
            key = group.key(self.truncated_key)
            if key not in leaf_keys(spec):
                flag = Binary(shape=group.shape, dtype=torch.bool, device=group.device)
                put_leaf(spec, key, flag, group.shape[:-1])
