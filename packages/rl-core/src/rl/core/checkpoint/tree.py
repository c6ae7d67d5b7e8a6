"""Nested Python state as JSON and named tensors, and back: what the checkpoint format can hold."""

from __future__ import annotations

import base64
import math
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from tensordict import (
    LazyStackedTensorDict,
    NonTensorData,
    NonTensorStack,
    TensorDict,
    TensorDictBase,
)
from torch.nn.parameter import is_lazy

from rl.core.errors import CheckpointError

__all__ = ["TreeReader", "TreeWriter"]

# What safetensors stores under the tensor's own dtype; others are stored as their bytes.
_NATIVE = {
    torch.bool,
    torch.uint8,
    torch.int8,
    torch.int16,
    torch.int32,
    torch.int64,
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
}
_PLAIN = (type(None), bool, int, str)
_RESERVED = "__metadata__"  # safetensors keeps this name for itself


class TreeWriter:
    """Encodes a state; tensors leave the tree and are collected in `tensors`.

    A value that JSON lacks becomes an object with one key that starts with `$`, such as
    `{"$tuple": [...]}`. Tensors that are one tensor (same memory, shape and strides) are stored
    once and loaded as one.

    Args:
        holder: what the state goes into, as errors call it.
        copies: whether `tensors` have memory of their own each, which safetensors asks for.

    Example:
        >>> writer = TreeWriter()
        >>> writer.encode({"step": 3, "weight": torch.zeros(2)})
        {'step': 3, 'weight': {'$tensor': 'weight'}}
        >>> writer.tensors
        {'weight': tensor([0., 0.])}
    """

    def __init__(self, holder: str = "a checkpoint", *, copies: bool = True) -> None:
        self.tensors: dict[str, torch.Tensor] = {}
        self._holder, self._copies = holder, copies
        self._nodes: dict[tuple, tuple[dict[str, Any], torch.Tensor]] = {}

    def encode(self, value: object, path: tuple[str, ...] = ()) -> Any:  # noqa: ANN401
        """Return `value` as JSON.

        Raises:
            CheckpointError: names the field whose type the format cannot hold.
        """
        if type(value) in _PLAIN:
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {"$float": repr(value)}
        for kind, encode in self._encoders():
            if isinstance(value, kind):
                return encode(value, path)
        raise CheckpointError(
            f"Field `{_show(path)}` is a {type(value).__qualname__}, which {self._holder} cannot "
            "hold. Turn it into tensors, numbers, strings, lists and dicts first."
        )

    def _encoders(self) -> list[tuple[Any, Callable[[Any, tuple[str, ...]], Any]]]:
        return [
            (torch.Tensor, self._tensor),
            (TensorDictBase, self._tensordict),
            (NonTensorData, self._nontensor),
            (OrderedDict, self._ordered),
            # a scheduler's milestones: what it is read back as must count too
            (Counter, lambda value, path: {"$counter": self._mapping(dict(value), path)}),
            (Mapping, self._mapping),
            (torch.Size, lambda value, path: {"$size": list(value)}),
            (list, self._sequence),
            (tuple, self._sequence),
            (np.ndarray, self._array),
            (np.generic, lambda v, path: {"$scalar": self._array(np.asarray(v), path)["$array"]}),
            (torch.dtype, lambda value, path: {"$dtype": str(value).removeprefix("torch.")}),
            (torch.device, lambda value, path: {"$device": str(value)}),
            (complex, lambda v, path: {"$complex": [self.encode(v.real), self.encode(v.imag)]}),
            (bytes, lambda value, path: {"$bytes": base64.b64encode(value).decode()}),
        ]

    def _sequence(self, value: list | tuple, path: tuple[str, ...]) -> Any:  # noqa: ANN401
        if type(value) not in (list, tuple):
            raise CheckpointError(
                f"Field `{_show(path)}` is a {type(value).__qualname__}, whose type would be lost. "
                "Save `list(...)` or `tuple(...)` of it."
            )
        items = [self.encode(item, (*path, str(i))) for i, item in enumerate(value)]
        return items if type(value) is list else {"$tuple": items}

    def _mapping(self, value: Mapping, path: tuple[str, ...]) -> dict[str, Any]:
        encoded = [(key, self.encode(item, (*path, str(key)))) for key, item in value.items()]
        if all(type(key) is str and not key.startswith("$") for key in value):
            return dict(encoded)
        # JSON keys are strings: other keys (an optimizer's int ids) are kept as pairs
        return {"$dict": [[self.encode(key, (*path, "<key>")), item] for key, item in encoded]}

    def _ordered(self, value: OrderedDict, path: tuple[str, ...]) -> dict[str, Any]:
        tree = self._mapping(value, path)
        # modules note their versions there, and a TensorDict which keys are nested
        metadata = getattr(value, "_metadata", None)
        if metadata is None:
            return tree
        return {"$state_dict": [tree, self.encode(metadata, (*path, "_metadata"))]}

    def _array(self, value: np.ndarray, path: tuple[str, ...]) -> dict[str, Any]:
        if value.dtype.kind not in "biufc" or not value.dtype.isnative:
            raise CheckpointError(
                f"Field `{_show(path)}` is an array of dtype {value.dtype}, which {self._holder} "
                "cannot hold. Save a native boolean or numeric array, or `.tolist()` of it."
            )
        # arrays and tensors keep apart: an array is read back as an array
        flat = np.ascontiguousarray(value).reshape(-1).view(np.uint8)
        name = self._name(path)
        self.tensors[name] = torch.from_numpy(flat.copy())
        return {"$array": {"name": name, "dtype": value.dtype.str, "shape": list(value.shape)}}

    def _tensor(self, value: torch.Tensor, path: tuple[str, ...]) -> dict[str, Any]:
        if is_lazy(value):
            raise CheckpointError(
                f"Field `{_show(path)}` has no values yet: its layer takes its size from the first "
                "batch. Call the module once on data, then save."
            )
        if value.layout is not torch.strided or value.is_quantized or value.is_meta:
            raise CheckpointError(
                f"Field `{_show(path)}` is a {value.layout} tensor on {value.device}, which "
                f"{self._holder} cannot hold. Save a dense tensor (`.to_dense()`, `.dequantize()`)."
            )
        same = (value.data_ptr(), value.dtype, tuple(value.shape), value.stride(), value.device)
        if value.numel() and same in self._nodes:
            return self._nodes[same][0]
        # one memory per stored tensor: safetensors refuses tensors that overlap
        stored = value.detach().resolve_conj().resolve_neg().cpu()
        stored = (
            stored.clone(memory_format=torch.contiguous_format)
            if self._copies
            else stored.contiguous()
        )
        name = self._name(path)
        node: dict[str, Any] = {"$tensor": name}
        if stored.dtype not in _NATIVE:
            dtype = str(stored.dtype).removeprefix("torch.")
            node = {"$raw": {"name": name, "dtype": dtype, "shape": list(stored.shape)}}
            stored = stored.reshape(-1).view(torch.uint8)
        self.tensors[name] = stored
        # the value is held so that its address is not given to another tensor meanwhile
        self._nodes[same] = (node, value)
        return node

    def _tensordict(self, value: TensorDictBase, path: tuple[str, ...]) -> dict[str, Any]:
        if isinstance(value, LazyStackedTensorDict):
            parts = [self.encode(td, (*path, str(i))) for i, td in enumerate(value.tensordicts)]
            kind = "$nontensorstack" if isinstance(value, NonTensorStack) else "$lazystack"
            return {kind: {"parts": parts, "dim": value.stack_dim}}
        items = [[key, self.encode(item, (*path, key))] for key, item in value.items()]
        return {
            "$tensordict": {
                "batch_size": list(value.batch_size),
                "names": list(value.names) if any(value.names) else None,
                "items": items,
            }
        }

    def _nontensor(self, value: NonTensorData, path: tuple[str, ...]) -> dict[str, Any]:
        data = self.encode(value.data, path)
        return {"$nontensor": {"data": data, "batch_size": list(value.batch_size)}}

    def _name(self, path: tuple[str, ...]) -> str:
        base = _show(path).encode("ascii", "backslashreplace").decode()
        name, count = base, 0
        while name in self.tensors or name == _RESERVED:
            count += 1
            name = f"{base}#{count}"
        return name


class TreeReader:
    """Decodes what `TreeWriter` encoded.

    Args:
        tensors: the stored tensors by name.

    Example:
        >>> TreeReader({"w": torch.ones(2)}).decode({"pair": {"$tuple": [1, {"$tensor": "w"}]}})
        {'pair': (1, tensor([1., 1.]))}
    """

    def __init__(self, tensors: Mapping[str, torch.Tensor]) -> None:
        self._tensors = tensors
        # stored tensors are viewed once, so that shared leaves stay shared
        self._raw: dict[str, torch.Tensor] = {}
        self._decoders: dict[str, Callable[[Any], Any]] = {
            "$tensor": self._tensor,
            "$raw": self._raw_tensor,
            "$array": self._array,
            "$scalar": lambda body: self._array(body)[()],
            "$tuple": lambda body: tuple(self.decode(item) for item in body),
            "$state_dict": self._state_dict,
            "$counter": lambda body: Counter(self.decode(body)),
            "$dict": lambda body: {self.decode(k): self.decode(v) for k, v in body},
            "$size": torch.Size,
            "$float": float,
            "$complex": lambda body: complex(self.decode(body[0]), self.decode(body[1])),
            "$bytes": base64.b64decode,
            "$dtype": _dtype,
            "$device": torch.device,
            "$tensordict": self._tensordict,
            "$nontensor": lambda body: NonTensorData(
                self.decode(body["data"]), batch_size=body["batch_size"]
            ),
            "$lazystack": lambda body: LazyStackedTensorDict(
                *[self.decode(part) for part in body["parts"]], stack_dim=body["dim"]
            ),
            "$nontensorstack": lambda body: NonTensorStack(
                *[self.decode(part) for part in body["parts"]], stack_dim=body["dim"]
            ),
        }

    def decode(self, node: Any) -> Any:  # noqa: ANN401
        """Return the value of `node`.

        Raises:
            CheckpointError: names a tensor that is not stored or a mark that is unknown.
        """
        if isinstance(node, list):
            return [self.decode(item) for item in node]
        if not isinstance(node, dict):
            return node
        mark = next(iter(node), "")
        if not mark.startswith("$"):
            return {key: self.decode(item) for key, item in node.items()}
        if mark not in self._decoders:
            raise CheckpointError(
                f"Field mark `{mark}` is unknown: the checkpoint was written by a newer rl-core. "
                "`pip install --upgrade rl-core`."
            )
        return self._decoders[mark](node[mark])

    def _state_dict(self, body: list[Any]) -> OrderedDict[Any, Any]:
        items, metadata = body
        state = OrderedDict(self.decode(items))
        state._metadata = OrderedDict(self.decode(metadata))  # type: ignore[attr-defined]
        return state

    def _tensor(self, name: str) -> torch.Tensor:
        if name not in self._tensors:
            raise CheckpointError(f"Field `{name}` is in the manifest and not among the tensors.")
        return self._tensors[name]

    def _raw_tensor(self, body: dict[str, Any]) -> torch.Tensor:
        name = body["name"]
        if name not in self._raw:
            stored = self._tensor(name)
            self._raw[name] = stored.view(_dtype(body["dtype"])).reshape(body["shape"])
        return self._raw[name]

    def _array(self, body: dict[str, Any]) -> np.ndarray:
        flat = self._tensor(body["name"]).cpu().numpy().copy()
        return flat.view(np.dtype(body["dtype"])).reshape(body["shape"])

    def _tensordict(self, body: dict[str, Any]) -> TensorDict:
        items = {key: self.decode(item) for key, item in body["items"]}
        return TensorDict(items, batch_size=body["batch_size"], names=body["names"])


def _dtype(name: str) -> torch.dtype:
    dtype = getattr(torch, name, None)
    if not isinstance(dtype, torch.dtype):
        raise CheckpointError(f"Field of dtype `{name}`: the installed torch has no such dtype.")
    return dtype


def _show(path: tuple[str, ...]) -> str:
    return "/".join(path) or "state"
