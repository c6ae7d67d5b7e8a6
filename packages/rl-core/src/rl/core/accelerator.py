"""The accelerator of this machine, and the memory of CUDA devices."""

from __future__ import annotations

from contextlib import ContextDecorator
from typing import Self

import torch

from rl.core.logging import logger

__all__ = [
    "cuda_memory_profile",
    "cuda_memory_stats",
    "get_available_device",
    "reset_cuda_peak_stats",
]

_BYTES_PER_GB = 1024**3
_STATS = {
    "allocated_gb": "allocated_bytes.all.current",
    "reserved_gb": "reserved_bytes.all.current",
    "max_allocated_gb": "allocated_bytes.all.peak",
    "max_reserved_gb": "reserved_bytes.all.peak",
}


def get_available_device(return_str: bool = False) -> torch.device | str:
    """Return the accelerator of this machine, its CPU when there is none.

    Args:
        return_str: return the device's name, such as `"cuda:0"`.

    Example:
        >>> get_available_device().type in ("cpu", "cuda", "xpu", "mps", "npu")
        True
    """
    device = torch.device("cpu")
    if torch.accelerator.is_available():
        kind = torch.accelerator.current_accelerator()
        device = torch.device(kind.type, 0) if kind is not None else device
    return str(device) if return_str else device


def cuda_memory_stats(device: torch.device | str | int | None = None) -> dict[str, float]:
    """Return the memory that torch holds on a CUDA device, in units of 2**30 bytes.

    Args:
        device: the device, the current CUDA device by default.

    Returns:
        `allocated_gb` in tensors and `reserved_gb` in torch's cache, and their peaks
        `max_allocated_gb` and `max_reserved_gb`. Zeros for another device, or without CUDA.

    Example:
        >>> sorted(cuda_memory_stats("cpu").items())[0]
        ('allocated_gb', 0.0)
    """
    found = torch.cuda.memory_stats(device) if _is_cuda(device) else {}
    return {name: found.get(key, 0) / _BYTES_PER_GB for name, key in _STATS.items()}


def reset_cuda_peak_stats(device: torch.device | str | int | None = None) -> None:
    """Start the peaks of `cuda_memory_stats` anew; nothing for another device or without CUDA.

    Args:
        device: the device, the current CUDA device by default.

    Example:
        >>> reset_cuda_peak_stats("cpu")
    """
    if _is_cuda(device):
        torch.cuda.reset_peak_memory_stats(device)


class cuda_memory_profile(ContextDecorator):  # noqa: N801  (the name that TorchRL users write)
    """Measures the CUDA memory of a block, as a context manager or a decorator.

    Args:
        label: names the block in the log.
        device: the device, the current CUDA device by default; another one is not measured.
        log: write a line to the library's logger.
        reset_peaks: start the peaks anew, so that they are the block's own.

    Attributes:
        stats: what `cuda_memory_stats` gave at the end of the block.

    Example:
        >>> with cuda_memory_profile("loss", log=False) as profile:
        ...     _ = torch.zeros(1)
        >>> sorted(profile.stats)
        ['allocated_gb', 'max_allocated_gb', 'max_reserved_gb', 'reserved_gb']
    """

    def __init__(
        self,
        label: str,
        *,
        device: torch.device | str | int | None = None,
        log: bool = True,
        reset_peaks: bool = True,
    ) -> None:
        self.label, self.device, self.log, self.reset_peaks = label, device, log, reset_peaks
        self.stats: dict[str, float] = {}
        self._before: list[dict[str, float]] = []

    def __enter__(self) -> Self:
        if self.reset_peaks:
            reset_cuda_peak_stats(self.device)
        self._before.append(cuda_memory_stats(self.device))
        return self

    def __exit__(self, *exception: object) -> None:
        before, self.stats = self._before.pop(), cuda_memory_stats(self.device)
        if self.log and _is_cuda(self.device):
            grown = self.stats["allocated_gb"] - before["allocated_gb"]
            logger.info(
                f"{self.label}: {grown:+.3f} GB allocated, {self.stats['allocated_gb']:.3f} GB in "
                f"all, peak {self.stats['max_allocated_gb']:.3f} GB, "
                f"{self.stats['max_reserved_gb']:.3f} GB reserved at most"
            )


def _is_cuda(device: torch.device | str | int | None) -> bool:
    if not torch.cuda.is_available():
        return False
    return device is None or isinstance(device, int) or torch.device(device).type == "cuda"
