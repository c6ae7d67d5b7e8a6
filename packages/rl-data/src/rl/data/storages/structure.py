"""The shape of a row as a plan: which containers hold which tensors, resolved once per storage."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from tensordict import (
    TensorDict,
    TensorDictBase,
    is_non_tensor,
    is_tensor_collection,
    is_tensorclass,
)
from torch import Tensor

from rl.core.errors import MissingKeyError, ShapeError, SpecError, nearest

__all__ = ["Structure"]

Path = tuple[str, ...]

# The constructor checks and casts every entry, half of what reading a batch costs beside the
# gathers; what is built here fits already. The other way has no public name: where it is gone, the
# constructor does it, and a test says so.
_new_tensordict = getattr(TensorDict, "_new_unsafe", TensorDict)


class Structure(ABC):
    """A nest of TensorDicts, dicts, tuples and lists with tensors at its leaves.

    `flatten` takes a nest apart into the list of its tensors, `build` is the inverse. Both visit
    the leaves in one order, which is that of `paths`.
    """

    kind: str

    @staticmethod
    def of(data: object, path: Path = (), batch_dims: int = 0) -> Structure:
        """Return the structure of `data`, whose first `batch_dims` dimensions are rows.

        Raises:
            SpecError: a leaf is not a tensor.
        """
        if isinstance(data, Tensor):
            return _Leaf(path)
        if is_tensor_collection(data) and not is_non_tensor(data):
            return _TensorDictNode(data, path, batch_dims)
        if isinstance(data, Mapping):
            items = [
                (str(k), Structure.of(v, (*path, str(k)), batch_dims)) for k, v in data.items()
            ]
            return _DictNode(path, items)
        if type(data) in (tuple, list):
            parts = [Structure.of(v, (*path, str(i)), batch_dims) for i, v in enumerate(data)]
            return _SequenceNode(path, type(data), parts)
        raise SpecError(
            f"`{_show(path)}` is a {type(data).__qualname__}; a tensor storage holds tensors in "
            "TensorDicts, dicts, tuples and lists. Turn it into a tensor, or use `ListStorage`."
        )

    def __init__(self, path: Path) -> None:
        self.path = path

    @abstractmethod
    def collect(self, data: Any, out: list[Tensor]) -> None:  # noqa: ANN401
        """Append the leaves of `data` to `out`.

        Raises:
            MissingKeyError: `data` lacks a key.
            SpecError: `data` has a key, or a kind of container, that the structure has not.
        """

    @abstractmethod
    def assemble(
        self, leaves: Iterator[Tensor], batch_size: torch.Size, device: torch.device | None
    ) -> Any:  # noqa: ANN401
        """Return the nest of the next leaves."""

    @abstractmethod
    def paths(self) -> list[Path]:
        """Return the path of each leaf."""

    @abstractmethod
    def describe(self) -> Any:  # noqa: ANN401
        """Return the structure as JSON."""

    def flatten(self, data: object) -> list[Tensor]:
        """Return the tensors of `data`, which must have this structure."""
        leaves: list[Tensor] = []
        self.collect(data, leaves)
        return leaves

    def build(
        self, leaves: list[Tensor], batch_size: torch.Size, device: torch.device | None = None
    ) -> Any:  # noqa: ANN401
        """Return the nest that holds `leaves`."""
        return self.assemble(iter(leaves), batch_size, device)

    def _wrong_kind(self, data: object) -> SpecError:
        return SpecError(
            f"`{_show(self.path)}` is a {type(data).__qualname__}, expected a {self.kind} as in "
            "the first rows. Give every row the same containers."
        )


class _Leaf(Structure):
    kind = "tensor"

    def collect(self, data: Any, out: list[Tensor]) -> None:  # noqa: ANN401
        if not isinstance(data, Tensor):
            raise self._wrong_kind(data)
        out.append(data)

    def assemble(
        self, leaves: Iterator[Tensor], batch_size: torch.Size, device: torch.device | None
    ) -> Tensor:
        return next(leaves)

    def paths(self) -> list[Path]:
        return [self.path]

    def describe(self) -> None:
        return None


class _MappingNode(Structure):
    """Shared by TensorDicts and dicts: named children."""

    def __init__(self, path: Path, items: list[tuple[str, Structure]]) -> None:
        super().__init__(path)
        self.items = items

    def paths(self) -> list[Path]:
        return [path for _, child in self.items for path in child.paths()]

    def describe(self) -> dict[str, Any]:
        return {"kind": self.kind, "items": [[key, c.describe()] for key, c in self.items]}

    def _explain(self, given: set[str]) -> Exception:
        """Return the error for a set of keys that is not the structure's."""
        expected = {key for key, _ in self.items}
        missing, unknown = sorted(expected - given), sorted(given - expected)
        prefix = "".join(f"{part}." for part in self.path)
        if missing:
            return MissingKeyError(
                f"`{prefix}{missing[0]}` is missing; given keys: {sorted(given)}, expected keys: "
                f"{sorted(expected)}, those of the first rows. Write every key in every row."
            )
        return SpecError(
            f"`{prefix}{unknown[0]}` is not a key of this storage, whose keys are "
            f"{sorted(expected)}. {nearest(unknown[0], expected)} Drop the key, or write it from "
            "the first row on."
        )


class _DictNode(_MappingNode):
    kind = "dict"

    def collect(self, data: Any, out: list[Tensor]) -> None:  # noqa: ANN401
        if not isinstance(data, Mapping):
            raise self._wrong_kind(data)
        if len(data) != len(self.items) or any(key not in data for key, _ in self.items):
            raise self._explain({str(key) for key in data})
        for key, child in self.items:
            child.collect(data[key], out)

    def assemble(
        self, leaves: Iterator[Tensor], batch_size: torch.Size, device: torch.device | None
    ) -> dict[str, Any]:
        return {key: child.assemble(leaves, batch_size, device) for key, child in self.items}


class _TensorDictNode(_MappingNode):
    kind = "tensordict"

    def __init__(self, data: Any, path: Path, batch_dims: int) -> None:  # noqa: ANN401
        items = [
            (key, Structure.of(value, (*path, key), batch_dims))
            for key, value in _plain(data).items()
        ]
        super().__init__(path, items)
        self.tensorclass = type(data) if is_tensorclass(data) else None
        # a nested TensorDict may have more batch dimensions than the row, as agents do
        self.extra = data.batch_size[batch_dims:] if path else torch.Size([])

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "extra": list(self.extra)}

    def collect(self, data: Any, out: list[Tensor]) -> None:  # noqa: ANN401
        if not is_tensor_collection(data):
            raise self._wrong_kind(data)
        if self.tensorclass is not None or not isinstance(data, TensorDictBase):
            data = _plain(data)
        keys = data.keys()
        if len(keys) != len(self.items):
            raise self._explain(set(keys))
        for key, child in self.items:
            value = data.get(key, None)
            if value is None:
                raise self._explain(set(keys))
            child.collect(value, out)

    def assemble(
        self, leaves: Iterator[Tensor], batch_size: torch.Size, device: torch.device | None
    ) -> Any:  # noqa: ANN401
        source = {key: child.assemble(leaves, batch_size, device) for key, child in self.items}
        size = batch_size + self.extra if self.extra else batch_size
        result = _new_tensordict(source, batch_size=size, device=device)
        return result if self.tensorclass is None else self.tensorclass.from_tensordict(result)


class _SequenceNode(Structure):
    def __init__(self, path: Path, cls: type, parts: list[Structure]) -> None:
        super().__init__(path)
        self.kind = cls.__name__
        self.cls = cls
        self.parts = parts

    def collect(self, data: Any, out: list[Tensor]) -> None:  # noqa: ANN401
        if type(data) is not self.cls:
            raise self._wrong_kind(data)
        if len(data) != len(self.parts):
            raise ShapeError(
                f"`{_show(self.path)}` has {len(data)} parts, expected {len(self.parts)} as in the "
                "first rows. Give every row the same parts."
            )
        for child, part in zip(self.parts, data, strict=True):
            child.collect(part, out)

    def assemble(
        self, leaves: Iterator[Tensor], batch_size: torch.Size, device: torch.device | None
    ) -> Any:  # noqa: ANN401
        return self.cls(part.assemble(leaves, batch_size, device) for part in self.parts)

    def paths(self) -> list[Path]:
        return [path for part in self.parts for path in part.paths()]

    def describe(self) -> dict[str, Any]:
        return {"kind": self.kind, "parts": [part.describe() for part in self.parts]}


def _plain(data: Any) -> TensorDictBase:  # noqa: ANN401 (a TensorDict or a tensorclass)
    return data if isinstance(data, TensorDictBase) else data.to_tensordict(retain_none=False)


def _show(path: Path) -> str:
    return ".".join(path) or "data"
