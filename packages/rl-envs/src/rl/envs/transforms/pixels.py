"""PixelTransform: the base of transforms of images."""

from __future__ import annotations

from collections.abc import Sequence

from rl.core.contract.keys import NestedKey
from rl.core.transform import Transform

__all__ = ["PixelTransform"]


class PixelTransform(Transform):
    """A map of images, under `pixels` by default.

    Args:
        in_keys: images; `["pixels"]` by default.
        out_keys: keys written; `in_keys` by default.

    Example:
        >>> PixelTransform().in_keys
        ['pixels']
    """

    def __init__(
        self,
        in_keys: Sequence[NestedKey] | None = None,
        out_keys: Sequence[NestedKey] | None = None,
    ) -> None:
        super().__init__(in_keys=["pixels"] if in_keys is None else in_keys, out_keys=out_keys)
