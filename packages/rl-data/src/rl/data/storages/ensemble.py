"""The storages of an ensemble of buffers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from tensordict import TensorDict
from torch import Tensor

from rl.core.errors import SpecError
from rl.data.storages.base import Checkpointer, Storage

__all__ = ["StorageEnsemble"]

Function = Callable[[Any], Any]


class StorageEnsemble(Storage):
    """The storages of the members of a `ReplayBufferEnsemble`; it is read, not written.

    Args:
        *storages: one per member.
        transforms: of each member, applied to what is read from it.
        collate_fns: of each member, applied before its transform; by default its storage's own.
        checkpointer: how the rows are saved, each storage in its own way by default.

    Raises:
        ValueError: there is no storage, or the lists differ in length.

    Example:
        >>> from rl.data import ListStorage
        >>> a, b = ListStorage(3), ListStorage(3)
        >>> a.set(range(2), [1, 2])
        >>> ensemble = StorageEnsemble(a, b)
        >>> len(ensemble), ensemble.max_size
        (2, 6)
    """

    def __init__(
        self,
        *storages: Storage,
        transforms: Sequence[Function | None] | None = None,
        collate_fns: Sequence[Function | None] | None = None,
        checkpointer: Checkpointer | None = None,
    ) -> None:
        if not storages:
            raise ValueError("An ensemble needs at least one storage.")
        for name, given in (("transforms", transforms), ("collate_fns", collate_fns)):
            if given is not None and len(given) != len(storages):
                raise ValueError(
                    f"`{name}` has {len(given)} entries for {len(storages)} storages: give one "
                    "for each, None for nothing."
                )
        super().__init__(sum(storage.max_size for storage in storages), checkpointer)
        self.storages = storages
        self.transforms = list(transforms or [None] * len(storages))
        self.collate_fns = list(collate_fns or [storage.default_collate for storage in storages])

    def __len__(self) -> int:
        return sum(map(len, self.storages))

    def get(self, index: Any) -> list[Any]:  # noqa: ANN401
        """Return the rows of each part of an index that `SamplerEnsemble` drew."""
        parts = index if isinstance(index, list) else list(index.unbind(0))
        return [self._part(part) for part in parts]

    def _part(self, part: TensorDict) -> Any:  # noqa: ANN401
        member = int(part["buffer_ids"].flatten()[0])
        storage, inner = self.storages[member], part["index"]
        if storage.ndim > 1:
            inner = tuple(inner.unbind(-1))
        data = storage.get(inner)
        for function in (self.collate_fns[member], self.transforms[member]):
            data = data if function is None else function(data)
        return data

    def unravel(self, flat: Any) -> Any:  # noqa: ANN401
        """Return the index: that of an ensemble is what samples hold."""
        return flat

    def ravel(self, index: Any) -> Any:  # noqa: ANN401
        """Return the index: that of an ensemble is what samples hold."""
        return index

    def set(self, cursor: int | range | Tensor, data: Any) -> NoReturn:  # noqa: ANN401
        """Raise a `RuntimeError`."""
        raise RuntimeError("An ensemble is written through its members: `ensemble[i].extend(...)`.")

    def rows_of(self, data: Any) -> NoReturn:  # noqa: ANN401
        """Raise a `RuntimeError`."""
        self.set(0, data)

    def empty(self) -> None:
        """Forget every row of every member."""
        for storage in self.storages:
            storage.empty()

    # --------------------------------------------------------------- saving

    def _family(self) -> str:
        return "ensemble"

    def describe(self) -> dict[str, Any]:
        """Return what each storage says of itself, and how its rows are saved."""
        parts = [storage.describe() for storage in self.storages]
        return {**self._about(), "storages": parts}

    def _about(self) -> dict[str, Any]:
        return {
            "storage": "ensemble",
            "max_size": self.max_size,
            "formats": [storage.checkpointer.format for storage in self.storages],
            "transforms": [_state(transform) for transform in self.transforms],
        }

    def _take_transforms(self, states: list[dict[str, Any]]) -> None:
        for transform, state in zip(self.transforms, states, strict=True):
            if state:
                transform.load_state_dict(state)

    def write_rows(self, folder: Path) -> None:
        """Write the rows of each storage to a folder with its number."""
        for path, storage in zip(self._folders(folder), self.storages, strict=True):
            path.mkdir()
            storage.checkpointer.write(storage, path)

    def _folders(self, folder: Path) -> list[Path]:
        return [folder / str(number) for number in range(len(self.storages))]

    def check_description(self, described: dict[str, Any]) -> None:
        """Raise unless every storage can take its rows."""
        self._check_capacity(described)
        formats = self._about()["formats"]
        if described.get("formats", formats) != formats:
            raise SpecError(
                f"The members were saved as {described['formats']}, these load {formats}. Build "
                "them with the `checkpointer=` they were saved with."
            )
        for storage, part in zip(self.storages, described["storages"], strict=True):
            storage.checkpointer.check(storage, part)

    def read_rows(self, folder: Path, described: dict[str, Any]) -> None:
        """Replace the rows of every storage."""
        parts = zip(self._folders(folder), self.storages, described["storages"], strict=True)
        for path, storage, part in parts:
            storage.checkpointer.read(storage, path, part)
        self._take_transforms(described["transforms"])

    def state_dict(self) -> dict[str, Any]:
        """Return the state of every storage."""
        return {**self._about(), "storages": [storage.state_dict() for storage in self.storages]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Replace the rows of every storage.

        Raises:
            SpecError: a storage cannot take its rows; none has changed.
        """
        self.check_description(state_dict)
        for storage, part in zip(self.storages, state_dict["storages"], strict=True):
            storage.load_state_dict(part)
        self._take_transforms(state_dict["transforms"])

    def attach(self, buffer: object) -> None:
        """Do nothing: each storage belongs to its member."""

    def __getitem__(self, index: Any) -> Any:  # noqa: ANN401
        return self.storages[index] if isinstance(index, int) else self.get(index)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.storages))})"


def _state(transform: Any) -> dict[str, Any]:  # noqa: ANN401
    return dict(transform.state_dict()) if hasattr(transform, "state_dict") else {}
