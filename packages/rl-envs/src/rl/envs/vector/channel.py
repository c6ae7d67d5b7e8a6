"""A channel: bytes between the vector env and one worker, over two pipes, with bounded waits."""

from __future__ import annotations

import os
import select
import struct
import time

__all__ = ["Channel", "ChannelClosedError", "ChannelTimeoutError"]

_LENGTH = struct.Struct("<Q")
#: writes up to this size are taken by a pipe whole or not at all
_CHUNK = 1 << 16


class ChannelClosedError(Exception):
    """The other end is gone."""


class ChannelTimeoutError(Exception):
    """The other end did not answer in time."""


class Channel:
    """One end of a pair of pipes.

    A message is one byte, its code, or a code followed by the length of a payload and the payload.
    Which codes have a payload is up to the two ends.

    Args:
        read_fd: where messages come from.
        write_fd: where messages go to.
        spins: how often to look for a message before sleeping until it comes. A process that
            sleeps is woken some 50 µs late, one that looks 200 times keeps a core busy for as long.
    """

    def __init__(self, read_fd: int, write_fd: int, spins: int = 0) -> None:
        self.read_fd = read_fd
        self.write_fd = write_fd
        self._poll = select.poll()
        self._poll.register(read_fd, select.POLLIN)
        os.set_blocking(write_fd, False)
        self.spins = spins

    def send_code(self, code: bytes) -> None:
        """Send a bare code.

        Raises:
            ChannelClosedError: the other end is gone.
        """
        try:
            os.write(self.write_fd, code)
        except (BrokenPipeError, OSError) as error:
            raise ChannelClosedError from error

    def send(self, code: bytes, payload: bytes, timeout_s: float) -> None:
        """Send a code with its payload.

        Raises:
            ChannelClosedError: the other end is gone.
            ChannelTimeoutError: the other end does not read.
        """
        view = memoryview(code + _LENGTH.pack(len(payload)) + payload)
        deadline = time.monotonic() + timeout_s
        ready = select.poll()
        ready.register(self.write_fd, select.POLLOUT)
        while view:
            if not ready.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise ChannelTimeoutError
            try:
                view = view[os.write(self.write_fd, view[:_CHUNK]) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise ChannelClosedError from error

    def receive_code(self, timeout_s: float | None) -> bytes:
        """Wait for a code.

        Args:
            timeout_s: the longest wait; None waits as long as the other end lives.

        Raises:
            ChannelClosedError: the other end is gone.
            ChannelTimeoutError: nothing came in time.
        """
        return self._read(1, timeout_s)

    def receive_payload(self, timeout_s: float | None) -> bytes:
        """Read the payload of the code just received."""
        (length,) = _LENGTH.unpack(self._read(_LENGTH.size, timeout_s))
        return self._read(length, timeout_s) if length else b""

    def _read(self, size: int, timeout_s: float | None) -> bytes:
        wait = None if timeout_s is None else timeout_s * 1000
        poll = self._poll.poll
        for _ in range(self.spins):
            if poll(0):
                break
        else:
            if not poll(wait):
                raise ChannelTimeoutError
        data = os.read(self.read_fd, size)
        if len(data) == size:
            return data
        return self._read_on(data, size, wait)

    def _read_on(self, data: bytes, size: int, wait: float | None) -> bytes:
        parts = [data]
        missing = size - len(data)
        while parts[-1] and missing:
            if not self._poll.poll(wait):
                raise ChannelTimeoutError
            parts.append(os.read(self.read_fd, min(missing, 1 << 20)))
            missing -= len(parts[-1])
        if missing:
            raise ChannelClosedError
        return b"".join(parts)

    def close(self) -> None:
        """Close both descriptors; closing twice is harmless."""
        for name in ("read_fd", "write_fd"):
            descriptor = getattr(self, name)
            if descriptor >= 0:
                os.close(descriptor)
                setattr(self, name, -1)
