"""FiniteTensorDictCheck: an error at the first NaN or infinity."""

from __future__ import annotations

import torch
from tensordict import TensorDictBase
from torch import Tensor

from rl.core.errors import SpecError
from rl.core.transform import Transform

__all__ = ["FiniteTensorDictCheck"]


class FiniteTensorDictCheck(Transform):
    """Raise where an entry holds NaN or an infinity.

    It waits for the device once per entry: for debugging.

    Raises:
        SpecError: an entry is not finite; the message names it.

    Example:
        >>> from tensordict import TensorDict
        >>> sorted(FiniteTensorDictCheck()(TensorDict({"x": torch.ones(2)})).keys())
        ['x']
    """

    batchable = True

    def _call(self, next_tensordict: TensorDictBase) -> TensorDictBase:
        for key, value in next_tensordict.items(True, True):
            if isinstance(value, Tensor) and not torch.isfinite(value).all():
                bad = int((~torch.isfinite(value)).sum())
                raise SpecError(
                    f"`{key}` holds {bad} values that are NaN or infinite, expected finite ones: "
                    "look at the env, or at the transform that wrote it."
                )
        return next_tensordict
