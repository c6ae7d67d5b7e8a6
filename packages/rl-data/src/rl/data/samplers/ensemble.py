"""The samplers of an ensemble of buffers, and which of them a batch comes from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from rl.core.errors import ShapeError, SpecError
from rl.data.samplers.base import Sampler
from rl.data.storages.base import Storage
from rl.data.storages.ensemble import StorageEnsemble

__all__ = ["SamplerEnsemble"]


class SamplerEnsemble(Sampler):
    """Chooses members of a `ReplayBufferEnsemble` and lets each draw its part of the batch.

    The index is a TensorDict, `[members, batch / members]`, with `"buffer_ids"` and `"index"`; a
    list of such rows where parts differ in length. Members without priorities have the
    `"priority_weight"` 1 in a batch where others have one.

    Args:
        *samplers: one per member.
        p: weights of the members, equal by default; `"sampleable"` weighs them by how many
            elements each has to draw.
        sample_from_all: whether each member gives its part of every batch.
        num_buffer_sampled: number of draws of a member per batch, the number of members by
            default.

    Raises:
        ValueError: `p` does not fit the samplers, or is given with `sample_from_all`.

    Example:
        >>> from rl.data import RandomSampler
        >>> SamplerEnsemble(RandomSampler(), RandomSampler(), p=[1.0, 3.0]).p
        tensor([0.2500, 0.7500], dtype=torch.float64)
    """

    def __init__(
        self,
        *samplers: Sampler,
        p: Sequence[float] | Tensor | str | None = None,
        sample_from_all: bool = False,
        num_buffer_sampled: int | None = None,
    ) -> None:
        if sample_from_all and p is not None:
            raise ValueError("Pass `p` or `sample_from_all=True`, not both.")
        self.samplers = samplers
        self.sample_from_all = sample_from_all
        self.p = self._weights(p)
        count = len(samplers) if sample_from_all or num_buffer_sampled is None else None
        self.num_buffer_sampled = num_buffer_sampled if count is None else count
        if self.num_buffer_sampled <= 0:
            raise ValueError(f"`num_buffer_sampled` is {num_buffer_sampled}, expected at least 1.")
        self._generator: torch.Generator | None = None

    def _weights(self, p: Sequence[float] | Tensor | str | None) -> Tensor | str:
        if isinstance(p, str):
            if p != "sampleable":
                raise ValueError(f"`p` is {p!r}, expected weights or 'sampleable'.")
            return p
        given = [1.0] * len(self.samplers) if p is None else p
        weights = torch.as_tensor(given, dtype=torch.float64)
        if weights.shape != (len(self.samplers),) or not (weights >= 0).all():
            raise ValueError(
                f"`p` is {weights.tolist()}, expected {len(self.samplers)} numbers of at least 0, "
                "one per member."
            )
        if not 0 < float(weights.sum()) < float("inf"):
            raise ValueError(f"`p` is {weights.tolist()}, expected a finite sum above 0.")
        return weights / weights.sum()

    def __getitem__(self, index: int) -> Sampler:
        return self.samplers[index]

    def __len__(self) -> int:
        return len(self.samplers)

    @property
    def generator(self) -> torch.Generator | None:
        """Source of the random numbers of the choice and of every member."""
        return self._generator

    @generator.setter
    def generator(self, generator: torch.Generator | None) -> None:
        self._generator = generator
        for sampler in self.samplers:
            sampler.generator = generator

    @property
    def uses_priority(self) -> bool:  # type: ignore[override]
        """Whether a member uses priorities."""
        return any(sampler.uses_priority for sampler in self.samplers)

    @property
    def ran_out(self) -> bool:  # type: ignore[override]
        """Whether every member that has passes has ended one."""
        return all(sampler.ran_out for sampler in self.samplers)

    @ran_out.setter
    def ran_out(self, value: bool) -> None:
        for sampler in self.samplers:
            sampler.ran_out = value

    def prepare(self, storage: Storage) -> None:
        """Check that there is a storage for each sampler.

        Raises:
            ValueError: there is not.
        """
        if len(_members(storage)) != len(self.samplers):
            raise ValueError(
                f"The ensemble has {len(_members(storage))} storages and {len(self.samplers)} "
                "samplers. Give one of each per member."
            )

    def available(self, storage: Storage) -> int:
        """Return how many elements all members can draw."""
        pairs = zip(self.samplers, _members(storage), strict=True)
        return sum(sampler.available(part) for sampler, part in pairs)

    def sample(self, storage: Storage, batch_size: int) -> tuple[Any, dict[str, Any]]:
        """Draw a batch, an equal part from each member that is chosen.

        Raises:
            ValueError: the batch size is no multiple of the number of parts.
            RuntimeError: a chosen member is empty.
        """
        count = self.num_buffer_sampled
        if batch_size % count:
            raise ValueError(
                f"The batch size {batch_size} is no multiple of the {count} members that a batch "
                "comes from. Make it one, or pass `num_buffer_sampled`."
            )
        members = _members(storage)
        chosen = self._choose(members)
        before = self.snapshot()
        try:
            draws = [self.samplers[i].sample(members[i], batch_size // count) for i in chosen]
        except BaseException:
            self.restore(before)  # of those that drew before one could not
            raise
        parts = [_index(i, index) for i, (index, _) in zip(chosen, draws, strict=True)]
        same = all(part.shape == parts[0].shape for part in parts)
        infos = [info for _, info in draws]
        sizes = [part.shape[0] for part in parts]
        return (torch.stack(parts) if same else parts), _told(infos, sizes, same)

    def _choose(self, members: Sequence[Storage]) -> list[int]:
        if self.sample_from_all:
            return list(range(len(self.samplers)))
        weights = self.p
        if isinstance(weights, str):
            pairs = zip(self.samplers, members, strict=True)
            counts = [sampler.available(part) for sampler, part in pairs]
            weights = torch.tensor(counts, dtype=torch.float64)
            if not weights.sum() > 0:
                raise RuntimeError("Every member is empty: write to `ensemble[i]` first.")
        return torch.multinomial(
            weights, self.num_buffer_sampled, replacement=True, generator=self.generator
        ).tolist()

    def update_priority(
        self,
        index: Any,  # noqa: ANN401
        priority: Tensor | float,
        *,
        storage: Storage | None = None,
    ) -> None:
        """Give priorities to the members that the elements belong to.

        Raises:
            SpecError: the index is not that of an ensemble.
            ShapeError: index and priorities differ in shape.
        """
        parts = index if isinstance(index, list) else list(_checked(index).unbind(0))
        values = _per_part(priority, parts)
        for sampler, inner, value, member in self._routes(parts, values, storage):
            sampler.check_priority(value, len(inner))
            if isinstance(inner, Tensor) and not bool(member.contains(inner).all()):
                raise IndexError(
                    f"Priorities are given for elements outside of [0, {len(member)}) of a member. "
                    "Pass the `index` entry of a sample."
                )
        for sampler, inner, value, member in self._routes(parts, values, storage):
            sampler.update_priority(inner, value, storage=member)

    def mark_update(self, index: Any, *, storage: Storage | None = None) -> None:  # noqa: ANN401
        """Tell the members whose elements were overwritten in place."""
        parts = index if isinstance(index, list) else list(_checked(index).unbind(0))
        for sampler, inner, _, member in self._routes(parts, parts, storage):
            sampler.mark_update(inner, storage=member)

    def _routes(
        self,
        parts: list[Any],
        values: list[Any],
        storage: Storage | None,
    ) -> list[tuple[Sampler, Any, Any, Storage]]:
        """Return sampler, element numbers, value and storage of each part."""
        if storage is None:
            raise SpecError("An ensemble needs its storage to know its elements.")
        members = _members(storage)
        routes = []
        for part, value in zip(parts, values, strict=True):
            number = int(part["buffer_ids"].flatten()[0])
            member = members[number]
            routes.append((self.samplers[number], member.ravel(part["index"]), value, member))
        return routes

    def reread(self) -> None:
        """Tell every sampler that entries were changed in place."""
        for sampler in self.samplers:
            sampler.reread()

    def empty(self) -> None:
        """Tell every sampler that its storage was emptied."""
        for sampler in self.samplers:
            sampler.empty()

    def snapshot(self) -> dict[str, Any]:
        """Return what `restore` needs to undo later draws."""
        return {"samplers": [sampler.snapshot() for sampler in self.samplers]}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Undo every draw since `snapshot`."""
        for sampler, state in zip(self.samplers, snapshot["samplers"], strict=True):
            sampler.restore(state)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of every sampler."""
        return {"samplers": [sampler.state_dict() for sampler in self.samplers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the state that `state_dict` returned."""
        for sampler, state in zip(self.samplers, state_dict["samplers"], strict=True):
            sampler.load_state_dict(state)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.samplers))})"


def _members(storage: Storage) -> Sequence[Storage]:
    if not isinstance(storage, StorageEnsemble):
        raise SpecError(
            f"A `SamplerEnsemble` draws from a `StorageEnsemble`, given a {type(storage).__name__}."
        )
    return storage.storages


def _index(member: int, index: Any) -> TensorDict:  # noqa: ANN401
    if isinstance(index, tuple):
        index = torch.stack(index, -1)
    count = index.shape[0] if isinstance(index, Tensor | TensorDict) else len(index)
    return TensorDict({"buffer_ids": torch.full((count,), member), "index": index}, [count])


def _told(infos: list[dict[str, Any]], sizes: list[int], same: bool) -> dict[str, Any]:
    keys = list(dict.fromkeys(key for info in infos for key in info))
    told = {}
    for key in keys:
        values = [info.get(key) for info in infos]
        if key == "priority_weight":
            values = [
                torch.ones(size) if value is None else value
                for value, size in zip(values, sizes, strict=True)
            ]
        if any(value is None for value in values):
            continue  # means nothing for some members
        alike = same and all(isinstance(value, Tensor) for value in values)
        told[key] = torch.stack(values) if alike else values
    return told


def _checked(index: Any) -> TensorDict:  # noqa: ANN401
    if not isinstance(index, TensorDict):
        raise SpecError(
            f"The index of an ensemble is a TensorDict with `buffer_ids` and `index`, given a "
            f"{type(index).__qualname__}. Pass the `index` entry of a sample."
        )
    return index


def _per_part(priority: Any, parts: list[TensorDict]) -> list[Any]:  # noqa: ANN401
    if isinstance(priority, list):
        return priority
    tensor = torch.as_tensor(priority)
    if tensor.ndim == 0:
        return [tensor] * len(parts)
    if len(tensor) != len(parts) or any(len(t) != len(p) for t, p in zip(tensor, parts)):  # noqa: B905
        raise ShapeError(
            f"`priority` has shape {list(tensor.shape)}, the index names {len(parts)} parts of "
            f"{len(parts[0])} elements. Give one priority per element."
        )
    return list(tensor)
