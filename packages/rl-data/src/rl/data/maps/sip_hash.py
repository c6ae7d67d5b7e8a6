"""SipHash of the rows of a tensor, on its device, the same in every process."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rl.core.errors import ShapeError

__all__ = ["SipHash"]

#: the constants of the paper: "somepseudorandomlygeneratedbytes"
_START = (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573)
_WORD = 8


class SipHash(nn.Module):
    """SipHash-2-4 of each row's bytes (Aumasson and Bernstein 2012, section 2).

    Equal rows have equal hashes, whatever the process and the device; two given rows that differ
    share a hash with probability 2^-64. Zeros of either sign count as equal.

    Args:
        as_tensor: whether the hashes come as a tensor; else as a list of 8 bytes each.
        key: the two 64-bit halves of the secret key.

    Example:
        >>> a = torch.tensor([[0.1, 0.2], [0.3, 0.4], [0.1, 0.2]])
        >>> hashes = SipHash()(a)
        >>> bool(hashes[0] == hashes[2]), bool(hashes[0] == hashes[1])
        (True, False)
    """

    def __init__(self, as_tensor: bool = True, *, key: tuple[int, int] = (0, 0)) -> None:
        super().__init__()
        self.as_tensor = as_tensor
        self.key = key

    def forward(self, x: Tensor) -> Tensor | list[bytes]:
        """Return the hash of each row.

        Args:
            x: `[*B, F]`, any dtype.

        Returns:
            `[*B]` int64, or a list of bytes if not `as_tensor`.

        Raises:
            ShapeError: `x` has no dimension of features.
        """
        if x.ndim == 0:
            raise ShapeError(
                "`SipHash` hashes the last dimension, given a number without one: pass "
                "`x.unsqueeze(-1)`."
            )
        hashes = sip_hash(_row_bytes(x), self.key).reshape(x.shape[:-1])
        if self.as_tensor:
            return hashes
        rows = hashes.reshape(-1, 1).contiguous().view(torch.uint8).tolist()
        return [bytes(row) for row in rows]


def _row_bytes(x: Tensor) -> Tensor:
    """Return `[n, bytes]` uint8."""
    rows = x.detach().flatten(0, -2) if x.ndim > 1 else x.detach()[None]
    if rows.is_floating_point() or rows.is_complex():
        rows = rows + 0.0  # -0.0 becomes 0.0
    if not rows.shape[-1]:
        return torch.empty(len(rows), 0, dtype=torch.uint8, device=x.device)
    return rows.contiguous().view(torch.uint8)


def sip_hash(rows: Tensor, key: tuple[int, int] = (0, 0)) -> Tensor:
    """Return SipHash-2-4 of each row.

    Args:
        rows: `[n, bytes]` uint8.
        key: two 64-bit numbers.

    Returns:
        `[n]` int64, the bits of the 64-bit hash.

    Example:
        >>> sip_hash(torch.zeros(1, 0, dtype=torch.uint8)).item()
        2202906307356721367
    """
    state = [_as_int64(start ^ half) for start, half in zip(_START, (*key, *key), strict=True)]
    v = [torch.full((len(rows),), word, dtype=torch.int64, device=rows.device) for word in state]
    for word in _words(rows).unbind(-1):
        v[3] = v[3] ^ word
        v = _round(_round(v))
        v[0] = v[0] ^ word
    v[2] = v[2] ^ 0xFF
    for _ in range(4):
        v = _round(v)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def _words(rows: Tensor) -> Tensor:
    """Return the message as `[n, words]` int64; its length is the last byte."""
    length = rows.shape[1]
    count = length // _WORD + 1
    padded = rows.new_zeros(len(rows), count * _WORD)
    padded[:, :length] = rows
    padded[:, -1] = length % 256
    return padded.view(torch.int64)


def _round(v: list[Tensor]) -> list[Tensor]:
    v0, v1, v2, v3 = v
    v0, v2 = v0 + v1, v2 + v3
    v1, v3 = _rotated(v1, 13) ^ v0, _rotated(v3, 16) ^ v2
    v0, v2 = _rotated(v0, 32) + v3, v2 + v1
    v3, v1 = _rotated(v3, 21) ^ v0, _rotated(v1, 17) ^ v2
    return [v0, v1, _rotated(v2, 32), v3]


def _rotated(x: Tensor, bits: int) -> Tensor:
    """Rotate to the left; the shift to the right of a signed number needs its mask."""
    return (x << bits) | ((x >> (64 - bits)) & ((1 << bits) - 1))


def _as_int64(word: int) -> int:
    return word - 2**64 if word >= 2**63 else word
