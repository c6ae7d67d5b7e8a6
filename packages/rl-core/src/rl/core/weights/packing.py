"""Weights as one run of bytes: what crosses from one process to another."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from tensordict import TensorDict, TensorDictBase

from rl.core.weights.naming import WeightsError

__all__ = ["Layout"]

# every dtype may be viewed at a multiple of it
_ALIGN = 64


@dataclass(frozen=True)
class Layout:
    """Where each tensor lies in the bytes.

    Attributes:
        entries: name, dtype, shape and first byte of each tensor.
        num_bytes: the length of the whole.

    Example:
        >>> weights = TensorDict({"a": torch.arange(3), "b": torch.ones(2)})
        >>> layout = Layout.of(weights)
        >>> layout.unpack(layout.pack(weights))["b"]
        tensor([1., 1.])
    """

    entries: tuple[tuple[str, torch.dtype, tuple[int, ...], int], ...]
    num_bytes: int

    @classmethod
    def of(cls, tensordict: TensorDictBase) -> Layout:
        """Return the layout of a flat TensorDict.

        Raises:
            WeightsError: a tensor is sparse or quantised.
        """
        entries, offset = [], 0
        for name, tensor in sorted(tensordict.items()):
            if tensor.layout is not torch.strided or tensor.is_quantized:
                raise WeightsError(
                    f"`{name}` is a {tensor.layout} tensor, which has no bytes of its own: make it "
                    "dense (`.to_dense()`, `.dequantize()`)."
                )
            entries.append((name, tensor.dtype, tuple(tensor.shape), offset))
            offset += -(-tensor.numel() * tensor.element_size() // _ALIGN) * _ALIGN
        return cls(tuple(entries), offset)

    def pack(self, tensordict: TensorDictBase, out: torch.Tensor | None = None) -> torch.Tensor:
        """Return the bytes of `tensordict`, from whatever device.

        Args:
            tensordict: has the tensors of this layout.
            out: takes them, `[num_bytes]` uint8 on the CPU; a new tensor if None.
        """
        if out is None:
            out = torch.zeros(self.num_bytes, dtype=torch.uint8)
        for name, view in self._views(out):
            view.copy_(tensordict[name])
        return out

    def unpack(self, data: torch.Tensor) -> TensorDict:
        """Return the tensors as views of `data`."""
        return TensorDict(dict(self._views(data)), batch_size=[])

    def _views(self, data: torch.Tensor) -> list[tuple[str, torch.Tensor]]:
        views = []
        for name, dtype, shape, offset in self.entries:
            size = torch.Size(shape).numel() * dtype.itemsize
            views.append((name, data[offset : offset + size].view(dtype).view(shape)))
        return views
