"""Whole groups: batches of rows that share a prompt."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from tensordict.utils import NestedKey
from torch import Tensor

from rl.data.samplers.base import Sampler
from rl.data.samplers.stored_column import stored_column
from rl.data.storages.base import Storage

__all__ = ["PromptGroupSampler"]

_STRATEGIES = ("random", "recency", "reward", "variance")


class PromptGroupSampler(Sampler):
    """Draws groups of rows with the same prompt, as many rows from each: `[groups * rows]`.

    Objectives that compare the answers to one prompt (GRPO) need such batches; data that stay in
    the buffer are replayed (RePO, Li et al., 2025, arXiv:2506.09340, section 3). A group with too
    few rows, or a storage with too few groups, is completed by drawing some twice, with a warning.

    Args:
        num_groups: number of groups in a batch, or
        samples_per_group: number of rows of a group; the other follows from the batch size.
        group_key: entry that tells the group: an integer, or a text.
        strategy: which rows of a group: `"random"`, `"recency"` (written last), `"reward"` (the
            highest), `"variance"` (those whose rewards differ most).
        reward_key: entry that holds rewards, averaged over further dimensions.
        cache_groups: whether groups are found once per write rather than once per batch. False if
            the entry changes in place.

    Reads:
        group_key: [*B] or [*B, 1] integer, or text.
        reward_key: [*B, ...], for `"reward"` and `"variance"`.

    Raises:
        TypeError: not exactly one of `num_groups` and `samples_per_group` is given.
        ValueError: `strategy` is unknown, or a number is not positive.

    Example:
        >>> from tensordict import TensorDict
        >>> from rl.data import LazyTensorStorage, ReplayBuffer
        >>> sampler = PromptGroupSampler(num_groups=2, group_key="prompt")
        >>> rb = ReplayBuffer(storage=LazyTensorStorage(9), sampler=sampler, batch_size=4)
        >>> index = rb.extend(TensorDict({"prompt": torch.tensor([0, 1, 0, 1])}, [4]))
        >>> sorted(rb.sample()["prompt"].tolist())
        [0, 0, 1, 1]
    """

    def __init__(
        self,
        *,
        num_groups: int | None = None,
        samples_per_group: int | None = None,
        group_key: NestedKey = "query",
        strategy: str = "random",
        reward_key: NestedKey = ("next", "reward"),
        cache_groups: bool = True,
    ) -> None:
        if (num_groups is None) == (samples_per_group is None):
            raise TypeError(
                f"`num_groups` is {num_groups} and `samples_per_group` is {samples_per_group}: "
                "give exactly one, the other follows from the batch size."
            )
        if (num_groups or samples_per_group or 0) <= 0:
            raise ValueError("`num_groups` and `samples_per_group` are at least 1.")
        if strategy not in _STRATEGIES:
            raise ValueError(f"`strategy` is {strategy!r}, expected one of {list(_STRATEGIES)}.")
        self.num_groups = num_groups
        self.samples_per_group = samples_per_group
        self.group_key = group_key
        self.strategy = strategy
        self.reward_key = reward_key
        self.cache_groups = cache_groups
        self._groups: list[Tensor] | None = None
        self._clock = 0
        self._written = torch.empty(0, dtype=torch.int64)
        self._warned = False

    def prepare(self, storage: Storage) -> None:
        """Check that the storage numbers one dimension.

        Raises:
            ValueError: it numbers more.
        """
        if storage.ndim > 1:
            raise ValueError(f"The storage has ndim={storage.ndim}, expected 1.")

    def sample(self, storage: Storage, batch_size: int) -> tuple[Any, dict[str, Any]]:
        """Draw groups.

        Raises:
            RuntimeError: the storage is empty.
            ValueError: the batch size is no multiple of the number given.
            MissingKeyError: rows have no group, or no reward.
        """
        self._size(storage)
        num_groups, per_group = self._sizes(batch_size)
        groups = self._groups if self.cache_groups else None
        if groups is None:
            groups = self._groups = self._find(storage)
        chosen = self._choose(len(groups), num_groups)
        reward = self._rewards(storage) if self.strategy in ("reward", "variance") else None
        return torch.cat([self._rows(groups[i], per_group, reward) for i in chosen]), {}

    def _sizes(self, batch_size: int) -> tuple[int, int]:
        given = self.num_groups or self.samples_per_group or 1
        if batch_size % given:
            name = "num_groups" if self.num_groups else "samples_per_group"
            raise ValueError(
                f"The batch size {batch_size} is no multiple of `{name}` = {given}. Make it one."
            )
        other = batch_size // given
        return (given, other) if self.num_groups else (other, given)

    def _find(self, storage: Storage) -> list[Tensor]:
        column = stored_column(storage, self.group_key)
        values = column.reshape(len(column), -1).tolist() if isinstance(column, Tensor) else column
        found: dict[Any, list[int]] = {}
        for row, value in enumerate(values):
            key = tuple(value) if isinstance(value, list) else value
            found.setdefault(key, []).append(row)
        return [torch.tensor(rows) for rows in found.values()]

    def _rewards(self, storage: Storage) -> Tensor:
        reward = stored_column(storage, self.reward_key)
        return reward.reshape(len(reward), -1).double().mean(1).cpu()

    def _choose(self, available: int, wanted: int) -> list[int]:
        order = torch.randperm(available, generator=self.generator)[:wanted]
        return self._completed(order, wanted, available, "groups").tolist()

    def _rows(self, group: Tensor, wanted: int, reward: Tensor | None) -> Tensor:
        if self.strategy == "random":
            kept = group[torch.randperm(len(group), generator=self.generator)[:wanted]]
        elif self.strategy == "recency":
            kept = group[self._age(group).argsort(stable=True)[-wanted:]]
        elif self.strategy == "reward":
            kept = group[reward[group].argsort(descending=True, stable=True)[:wanted]]
        else:
            kept = _most_varied(group, reward[group], wanted)
        picked = self._completed(torch.arange(len(kept)), wanted, len(kept), "rows of a group")
        return kept[picked]

    def _age(self, group: Tensor) -> Tensor:
        if len(self._written) <= int(group.max()):  # written before the sampler was there
            return group
        return self._written[group]

    def _completed(self, picked: Tensor, wanted: int, available: int, what: str) -> Tensor:
        missing = wanted - len(picked)
        if missing <= 0:
            return picked
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"A batch needs {wanted} {what}, the buffer has {available}: some are drawn twice.",
                stacklevel=4,
            )
        more = torch.randint(available, (missing,), generator=self.generator)
        return torch.cat([picked, more])

    def extend(self, index: Tensor) -> None:
        """Note that rows were written, and when."""
        self._groups = None
        if not len(index):
            return
        missing = int(index.max()) + 1 - len(self._written)
        if missing > 0:
            self._written = torch.cat([self._written, torch.zeros(missing, dtype=torch.int64)])
        now = self._clock + torch.arange(1, len(index) + 1)
        self._written = self._written.index_put((index,), now)
        self._clock += len(index)

    def mark_update(self, index: Tensor, *, storage: Storage | None = None) -> None:
        """Note that rows were overwritten."""
        self.extend(torch.as_tensor(index).reshape(-1))

    def reread(self) -> None:
        """Find the groups anew: entries were changed in place."""
        self._groups = None

    def empty(self) -> None:
        """Forget every group."""
        self._groups = None
        self._written = torch.empty(0, dtype=torch.int64)
        self._clock = 0

    def state_dict(self) -> dict[str, Any]:
        """Return when each row was written."""
        return {"written": self._written, "clock": self._clock}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the state that `state_dict` returned."""
        self._written = state_dict["written"].clone()
        self._clock = int(state_dict["clock"])
        self._groups = None

    def __repr__(self) -> str:
        size = (
            f"num_groups={self.num_groups}"
            if self.num_groups
            else f"samples_per_group={self.samples_per_group}"
        )
        return f"{type(self).__name__}({size}, strategy={self.strategy!r})"


def _most_varied(group: Tensor, reward: Tensor, wanted: int) -> Tensor:
    """Return the rows whose rewards vary most, of equal ones those with the higher sum.

    Such a set is made of the lowest and the highest rewards, some of each.
    """
    order = reward.argsort(stable=True)
    size = min(wanted, len(group))
    sets = [torch.cat([order[:low], order[len(order) - (size - low) :]]) for low in range(size + 1)]
    scores = [
        (round(float(reward[rows].var(correction=0)), 12), float(reward[rows].sum()))
        for rows in sets
    ]
    return group[sets[max(range(len(sets)), key=scores.__getitem__)]]
