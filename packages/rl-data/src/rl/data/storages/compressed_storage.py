"""A list whose tensors are compressed."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tensordict import TensorDict, TensorDictBase, is_non_tensor
from torch import Tensor

from rl.core.errors import SpecError
from rl.data.storages.base import Checkpointer
from rl.data.storages.list_storage import ListStorage

__all__ = ["CompressedListStorage"]

_BLOBS = "items.bin"

Codec = Callable[[bytes], bytes]


class CompressedListStorage(ListStorage):
    """Keeps items with their tensors compressed; what is read equals what was written.

    Items are tensors, TensorDicts, dicts, tuples and lists of these; other values are kept as they
    are. The codec is zlib, which every Python has. With zstd, which is faster, pass both functions:
    `compression_fn=zstandard.compress, decompression_fn=zstandard.decompress`.

    Args:
        max_size: capacity.
        compression_fn: turns bytes into fewer bytes.
        decompression_fn: its inverse.
        compression_level: of zlib, 0 (none) to 9.
        device: where the tensors that are read are put.
        checkpointer: how the items are saved, compressed as they are by default.

    Raises:
        ValueError: one function is given without the other, or the level is out of range.

    Example:
        >>> storage = CompressedListStorage(10)
        >>> storage.set(0, {"pixels": torch.zeros(3, 64, 64, dtype=torch.uint8)})
        >>> storage.num_bytes < 100, storage[0]["pixels"].shape
        (True, torch.Size([3, 64, 64]))
    """

    def __init__(
        self,
        max_size: int,
        *,
        compression_fn: Codec | None = None,
        decompression_fn: Codec | None = None,
        compression_level: int = 3,
        device: str | torch.device = "cpu",
        checkpointer: Checkpointer | None = None,
    ) -> None:
        super().__init__(max_size, device=device, checkpointer=checkpointer)
        if (compression_fn is None) != (decompression_fn is None):
            raise ValueError(
                "Pass `compression_fn` and `decompression_fn` together: one undoes it."
            )
        if not 0 <= compression_level <= 9:
            raise ValueError(f"`compression_level` is {compression_level}, expected 0 to 9.")
        self._codec = "zlib" if compression_fn is None else "custom"
        self._compress = compression_fn or partial(zlib.compress, level=compression_level)
        self._decompress = decompression_fn or zlib.decompress

    @property
    def num_bytes(self) -> int:
        """Size of all compressed tensors."""
        return sum(len(blob) for item in self._items for blob in _blobs(item))

    def _put(self, item: Any) -> Any:  # noqa: ANN401
        return _pack(item, self._compress)

    def _take(self, item: Any) -> Any:  # noqa: ANN401
        return _unpack(item, self._decompress, self.device)

    # --------------------------------------------------------------- saving

    def _family(self) -> str:
        return "compressed list"

    def describe(self) -> dict[str, Any]:
        """Return the items, with places in the file of `write_rows` for their bytes."""
        return {**self._about(), "items": [_places(item) for item in self._items]}

    def _about(self) -> dict[str, Any]:
        return {"storage": self._family(), "max_size": self.max_size, "codec": self._codec}

    def write_rows(self, folder: Path) -> None:
        """Write the compressed bytes one after the other."""
        with open(folder / _BLOBS, "wb") as file:
            for item in self._items:
                file.writelines(_blobs(item))

    def check_description(self, described: dict[str, Any]) -> None:
        """Raise unless capacity and codec are the saved ones."""
        self._check_capacity(described)
        if described["codec"] != self._codec:
            raise SpecError(
                f"The saved items were compressed by the {described['codec']} codec, this storage "
                f"has the {self._codec} one. Give it the functions it was saved with."
            )

    def read_rows(self, folder: Path, described: dict[str, Any]) -> None:
        """Replace the items with those that `write_rows` wrote."""
        with open(folder / _BLOBS, "rb") as file:
            self._items = [_filled(item, file.read) for item in described["items"]]
        self._rows = len(self._items)

    def state_dict(self) -> dict[str, Any]:
        """Return the compressed items."""
        return {**self._about(), "items": list(self._items)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Replace the items.

        Raises:
            SpecError: the state is of another kind of storage, codec or capacity.
        """
        self.check_description(state_dict)
        self._items = list(state_dict["items"])
        self._rows = len(self._items)


# An item is packed as a nest of lists, each with its kind first:
# ["tensor", bytes, shape, dtype], ["td", {key: item}, batch size], ["dict", {key: item}],
# ["tuple" or "list", item...], ["raw", value]


def _pack(item: Any, compress: Codec) -> list[Any]:  # noqa: ANN401
    if isinstance(item, Tensor):
        flat = item.detach().cpu().contiguous().reshape(-1)
        blob = compress(flat.view(torch.uint8).numpy().tobytes())
        return ["tensor", bytes(blob), list(item.shape), str(item.dtype)]
    if isinstance(item, TensorDictBase) and not is_non_tensor(item):
        parts = {key: _pack(value, compress) for key, value in item.items()}
        return ["td", parts, list(item.batch_size)]
    if isinstance(item, Mapping):
        return ["dict", {key: _pack(value, compress) for key, value in item.items()}]
    if type(item) in (tuple, list):
        return [type(item).__name__, *(_pack(value, compress) for value in item)]
    return ["raw", item]


def _unpack(item: list[Any], decompress: Codec, device: torch.device | None) -> Any:  # noqa: ANN401
    kind, *rest = item
    if kind == "tensor":
        return _tensor(decompress(rest[0]), rest[1], rest[2]).to(device)
    if kind == "raw":
        return rest[0]
    if kind in ("td", "dict"):
        parts = {key: _unpack(value, decompress, device) for key, value in rest[0].items()}
        return parts if kind == "dict" else TensorDict(parts, rest[1], device=device)
    parts = [_unpack(value, decompress, device) for value in rest]
    return tuple(parts) if kind == "tuple" else parts


def _tensor(data: bytes, shape: list[int], name: str) -> Tensor:
    dtype = getattr(torch, name.removeprefix("torch."))
    expected = math.prod(shape) * dtype.itemsize
    if len(data) != expected:
        raise SpecError(
            f"`decompression_fn` returned {len(data)} bytes, {expected} were compressed. It must "
            "undo `compression_fn`."
        )
    if not expected:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(bytearray(data), dtype=dtype).reshape(shape)


def _children(item: list[Any]) -> list[Any]:
    if item[0] in ("td", "dict"):
        return list(item[1].values())
    return item[1:] if item[0] in ("tuple", "list") else []


def _blobs(item: list[Any]) -> list[bytes]:
    if item[0] == "tensor":
        return [item[1]]
    return [blob for child in _children(item) for blob in _blobs(child)]


def _places(item: list[Any]) -> list[Any]:
    """Put the length of each blob in its place."""
    kind, *rest = item
    if kind == "tensor":
        return ["tensor", len(rest[0]), *rest[1:]]
    if kind == "raw":
        return item
    if kind in ("td", "dict"):
        return [kind, {key: _places(part) for key, part in rest[0].items()}, *rest[1:]]
    return [kind, *(_places(part) for part in rest)]


def _filled(item: list[Any], read: Callable[[int], bytes]) -> list[Any]:
    """Undo `_places`, in the order of `_blobs`."""
    kind, *rest = item
    if kind == "tensor":
        return ["tensor", read(rest[0]), *rest[1:]]
    if kind == "raw":
        return item
    if kind in ("td", "dict"):
        return [kind, {key: _filled(part, read) for key, part in rest[0].items()}, *rest[1:]]
    return [kind, *(_filled(part, read) for part in rest)]
