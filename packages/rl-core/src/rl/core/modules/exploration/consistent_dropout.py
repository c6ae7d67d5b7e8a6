"""Dropout whose mask is kept with the data (Hausknecht and Wagener 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from tensordict import TensorDictBase
from tensordict.nn import TensorDictModuleBase
from torch import Tensor, nn

from rl.core.contract.keys import NestedKey, as_key_list, sibling
from rl.core.errors import RLError, ShapeError
from rl.core.modules.actors.output_spec import missing_key
from rl.core.modules.recurrent.primers import make_transform
from rl.core.specs.binary import Binary
from rl.core.specs.composite import Composite
from rl.core.transform import Transform

__all__ = ["ConsistentDropout", "ConsistentDropoutModule"]


class ConsistentDropout(nn.Module):
    """Dropout that returns its mask, and takes the mask of an earlier call.

    A policy gradient compares the policy that acted with the one that learns: with masks drawn anew
    the two differ before any update (Hausknecht and Wagener 2022, section 3). As with
    `nn.Dropout`, `train` and `eval` switch it, not the exploration type.

    Args:
        p: probability that an entry is dropped.

    Raises:
        RLError: `p` is not in `[0, 1)`.

    Example:
        >>> dropout = ConsistentDropout(0.5)
        >>> first, mask = dropout(torch.ones(4, 8))
        >>> again, _ = dropout(torch.ones(4, 8), mask)
        >>> torch.equal(first, again)
        True
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise RLError(
                f"`{type(self).__name__}` was given p={p}, expected 0 <= p < 1: p is the share of "
                "entries that are dropped."
            )
        self.p = p

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor] | Tensor:
        """Return the kept entries times `1 / (1 - p)` and the mask; in evaluation, `x` alone.

        Raises:
            ShapeError: `mask` has another shape than `x`, or is not bool.
        """
        if not self.training:
            return x
        if mask is None:
            mask = self.make_mask(input=x)
        elif mask.shape != x.shape or mask.dtype is not torch.bool:
            raise ShapeError(
                f"The dropout mask has shape {list(mask.shape)} and dtype {mask.dtype}, expected "
                f"{list(x.shape)} and torch.bool (true where an entry is kept): give the mask of "
                "the same data, or None to draw one."
            )
        return x * mask / (1 - self.p), mask

    def make_mask(
        self, *, input: Tensor | None = None, shape: Sequence[int] | None = None
    ) -> Tensor:
        """Return a new mask, true where an entry is kept.

        Args:
            input: a tensor with the shape and device of the mask.
            shape: the shape, instead of `input`.

        Raises:
            RLError: none of the two is given, or both.
        """
        if (input is None) == (shape is None):
            raise RLError("`make_mask` takes `input=` or `shape=`: give one of the two.")
        shape, device = (shape, None) if input is None else (input.shape, input.device)
        return torch.rand(tuple(shape), device=device) >= self.p

    def extra_repr(self) -> str:
        """Return the setting."""
        return f"p={self.p}"


class ConsistentDropoutModule(TensorDictModuleBase):
    """A `ConsistentDropout` that keeps its mask in the TensorDict.

    While data are collected the mask is drawn when it is absent and stored with the transition;
    when the policy is trained on them, or at the next step of the trajectory, the stored one is
    used. With `make_tensordict_primer` each trajectory has a mask of its own.

    Args:
        p: probability that an entry is dropped.
        in_keys: the entry to drop from; or two, that and the mask. The mask's default is
            `<out key>_dropout_mask` beside the result: name it when two modules write one entry.
        out_keys: where the result goes, and the mask when `in_keys` names it; default `in_keys`.
        input_shape: shape of one entry without batch dimensions, for the primer.
        input_dtype: accepted; masks are bool.

    Reads:
        in_keys[0]: `[*B, *F]`.
        mask: `[*B, *F]` bool, optional.
    Writes:
        out_keys[0]: `[*B, *F]`.
        mask: `[*B, *F]` bool, in training mode.

    Raises:
        RLError: there is not one input and one output, each with or without the mask.
        MissingKeyError: at call, the input is not in the TensorDict.
        ShapeError: at call, the mask has another shape than the input.

    Example:
        >>> from tensordict import TensorDict
        >>> module = ConsistentDropoutModule(0.5, in_keys=["hidden"], out_keys=["dropped"])
        >>> td = module(TensorDict(hidden=torch.ones(3, 4), batch_size=[3]))
        >>> first = td["dropped"]
        >>> torch.equal(module(td)["dropped"], first)
        True
    """

    def __init__(
        self,
        p: float,
        in_keys: NestedKey | Sequence[NestedKey],
        out_keys: NestedKey | Sequence[NestedKey] | None = None,
        input_shape: Sequence[int] | None = None,
        input_dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        del input_dtype
        in_keys = as_key_list(in_keys)
        out_keys = list(in_keys) if out_keys is None else as_key_list(out_keys)
        if not in_keys or len(in_keys) > 2 or len(in_keys) != len(out_keys):
            raise RLError(
                f"`ConsistentDropoutModule` was given in_keys={in_keys}, out_keys={out_keys}, "
                "expected [entry], or [entry, mask] for both: add one module per entry."
            )
        if in_keys[1:] != out_keys[1:]:
            raise RLError(
                f"The dropout mask is read from {in_keys[1]} and written to {out_keys[1]}: give "
                "one key, it is used again at the next call."
            )
        key = out_keys[0]
        leaf = key if isinstance(key, str) else key[-1]
        self.mask_key = [*in_keys[1:], sibling(key, f"{leaf}_dropout_mask")][0]
        self.in_keys, self.out_keys = in_keys[:1], [key, self.mask_key]
        self.carried_keys = [self.mask_key]
        self.dropout = ConsistentDropout(p)
        self.input_shape = None if input_shape is None else torch.Size(input_shape)

    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Write what is kept, and the mask."""
        x = tensordict.get(self.in_keys[0], None)
        if x is None:
            raise missing_key(self, self.in_keys, tensordict)
        if not self.training:
            return tensordict.set(self.out_keys[0], x)
        kept, mask = self.dropout(x, tensordict.get(self.mask_key, None))
        tensordict.set(self.out_keys[0], kept)
        return tensordict.set(self.mask_key, mask)

    def make_tensordict_primer(self) -> Transform:
        """Return the transform that draws a mask at reset, one for the envs reset together.

        Raises:
            RLError: `input_shape` was not given.
            MissingDependencyError: rl-envs, where the transform is, is not installed.
        """
        shape = self.input_shape
        if shape is None:
            raise RLError(
                "The shape of the dropout mask is not known: pass `input_shape=` to "
                "`ConsistentDropoutModule`."
            )
        spec = Composite({self.mask_key: Binary(shape=shape, dtype=torch.bool)})
        draw = partial(self.dropout.make_mask, shape=shape)
        return make_transform("TensorDictPrimer", spec, default_value=draw)
