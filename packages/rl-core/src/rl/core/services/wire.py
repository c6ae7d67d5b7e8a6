"""Messages between a service and its clients: JSON, then the bytes of the tensors in it."""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

import torch

from rl.core.checkpoint.tree import TreeReader, TreeWriter
from rl.core.errors import CheckpointError, RLError

__all__ = ["HOST", "TOKEN_BYTES", "MessageError", "pack", "receive", "receive_exactly", "send"]

#: services are reached from this machine only
HOST = "127.0.0.1"
#: what a client says first, so that no other program of this machine is let in
TOKEN_BYTES = 32
_LENGTH = struct.Struct(">Q")
# parts are joined below this size, so that a small message is one packet
_JOINED_BYTES = 1 << 20


class MessageError(RLError, TypeError):
    """A value is of a kind that messages cannot hold."""


def pack(value: object, *, copies: bool = False) -> list[memoryview]:
    """Return a message as the parts to be sent.

    It holds tensors, numpy arrays, TensorDicts (nested, with text in them), numbers, text, bytes,
    None, and lists, tuples and dicts of these. Tensors arrive on the CPU, without gradients.

    Args:
        value: what is sent.
        copies: whether the parts stay as they are when the tensors change before they are sent.

    Raises:
        MessageError: names the part that a message cannot hold.

    Example:
        >>> [part.nbytes for part in pack({"x": torch.zeros(3)})][1:]
        [12]
    """
    writer = TreeWriter("a message", copies=copies)
    try:
        tree = writer.encode(value)
    except CheckpointError as error:
        raise MessageError(str(error)) from None
    heads = [
        [name, str(tensor.dtype).removeprefix("torch."), list(tensor.shape)]
        for name, tensor in writer.tensors.items()
    ]
    header = json.dumps({"tree": tree, "tensors": heads}, allow_nan=False).encode()
    head = memoryview(_LENGTH.pack(len(header)) + header)
    return [head, *(_bytes_of(tensor) for tensor in writer.tensors.values())]


def send(connection: socket.socket, parts: list[memoryview]) -> None:
    """Send what `pack` returned.

    Example:
        >>> ours, theirs = socket.socketpair()
        >>> send(ours, pack({"call": "add", "args": [torch.arange(3)]}))
        >>> receive(theirs)
        {'call': 'add', 'args': [tensor([0, 1, 2])]}
        >>> ours.close()
        >>> receive(theirs) is None
        True
        >>> theirs.close()
    """
    if sum(part.nbytes for part in parts) <= _JOINED_BYTES:
        parts = [memoryview(b"".join(parts))]
    for part in parts:
        connection.sendall(part)


def receive(connection: socket.socket) -> dict[str, Any] | None:
    """Return the next message, `None` when the other side is gone."""
    length = receive_exactly(connection, _LENGTH.size)
    if length is None:
        return None
    text = receive_exactly(connection, _LENGTH.unpack(length)[0])
    if text is None:
        return None
    header = json.loads(text)
    tensors = {}
    for name, dtype, shape in header["tensors"]:
        tensors[name] = torch.empty(shape, dtype=getattr(torch, dtype), device="cpu")
        if not _receive_into(connection, _bytes_of(tensors[name])):
            return None
    return TreeReader(tensors).decode(header["tree"])


def receive_exactly(connection: socket.socket, size: int) -> bytearray | None:
    """Return `size` bytes, `None` when the other side is gone."""
    data = bytearray(size)
    return data if _receive_into(connection, memoryview(data)) else None


def _receive_into(connection: socket.socket, view: memoryview) -> bool:
    while view.nbytes:
        received = connection.recv_into(view)
        if received == 0:
            return False
        view = view[received:]
    return True


def _bytes_of(tensor: torch.Tensor) -> memoryview:
    """Return the memory of a contiguous tensor."""
    return memoryview(tensor.reshape(-1).view(torch.uint8).numpy())
