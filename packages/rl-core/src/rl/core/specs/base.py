"""The base of every spec: a shape, a dtype, a device and the set of values it allows."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from rl.core.errors import ShapeError, SpecError
from rl.core.specs.shapes import as_shape, flat_args, index_on, view_shape
from rl.core.specs.space import Box
from rl.core.specs.values import describe, equal, memo_key

__all__ = ["DEVICE_TYPING", "TensorSpec", "as_device", "implements"]

DEVICE_TYPING = torch.device | str | int

_ENCODE_MEMO_LIMIT = 4096

_TORCH_FUNCTIONS: dict[Callable, Callable] = {}


def implements(torch_function: Callable) -> Callable[[Callable], Callable]:
    """Register the function that `torch_function` calls when it meets a spec."""

    def register(function: Callable) -> Callable:
        _TORCH_FUNCTIONS[torch_function] = function
        return function

    return register


def as_device(device: DEVICE_TYPING | None) -> torch.device:
    """Return `device` as tensors report it, torch's default device when it is None.

    An accelerator gets its index ("cuda" becomes "cuda:0"), the CPU has none.
    """
    found = torch.get_default_device() if device is None else torch.device(device)
    if found.type in ("cpu", "meta"):
        return torch.device(found.type)
    if found.index is not None:
        return found
    usable = found.type == "cuda" and torch.cuda.is_available()
    return torch.device(found.type, torch.cuda.current_device() if usable else 0)


class TensorSpec:
    """The shape, dtype, device and allowed values of one entry of a TensorDict.

    A spec draws values (`rand`, `zero`), tests them (`is_in`), brings foreign ones in
    (`encode`, `project`) and follows the shape operations of the data it describes
    (`expand`, `unsqueeze`, `spec[index]`, `torch.stack`). Leaves are values: every operation
    returns a new spec. Data may have any number of batch dimensions before `shape`; a size
    of -1 in `shape` matches any size and is drawn as 1.

    Args:
        shape: shape of a value.
        space: the allowed values, or None.
        device: where values are; None means torch's default device.
        dtype: dtype of a value.
        domain: `"continuous"`, `"discrete"`, `"composite"` or None.

    Example:
        >>> from rl.core.specs import Bounded
        >>> spec = Bounded(-1, 1, (3,))
        >>> spec.is_in(spec.rand()), spec.rand((5,)).shape
        (True, torch.Size([5, 3]))
    """

    shape: torch.Size
    space: Box | None
    device: torch.device | None
    dtype: torch.dtype | None
    domain: str | None

    # The class whose instances may be equal: thin subclasses share their parent's.
    _family: ClassVar[type | None] = None

    def __init__(
        self,
        shape: int | Sequence[int],
        space: Box | None = None,
        device: DEVICE_TYPING | None = None,
        dtype: torch.dtype | None = None,
        domain: str | None = None,
    ) -> None:
        self.space = space
        self.device = as_device(device)
        self.dtype = torch.get_default_dtype() if dtype is None else dtype
        self.domain = domain
        self._memo: dict | None = None
        self._set_shape(as_shape(shape))

    def _set_shape(self, shape: torch.Size) -> None:
        self.shape = shape
        self._draw_shape = torch.Size([1 if size == -1 else size for size in shape])

    @classmethod
    def __torch_function__(
        cls,
        func: Callable,
        types: Sequence[type],
        args: tuple = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """Route `torch.stack`, `torch.squeeze`, ... to the specs."""
        handler = _TORCH_FUNCTIONS.get(func)
        if handler is None:
            return NotImplemented
        return handler(*args, **(kwargs or {}))

    # What a leaf defines: its values.

    def rand(self, shape: int | Sequence[int] | None = None) -> Any:  # noqa: ANN401
        """Draw a value of shape `[*shape, *self.shape]` from the space.

        Args:
            shape: extra batch dimensions, before the spec's own.
        """
        raise NotImplementedError(f"`{type(self).__name__}` does not draw values.")

    def is_in(self, val: Any) -> bool:  # noqa: ANN401
        """Return whether `val` has this dtype and shape and lies in the space."""
        return self._matches(val)

    def _project(self, val: Tensor) -> Tensor:
        """Return the value of the space that stands for `val`; dtype and shape are right."""
        return val

    def cardinality(self) -> int | float:
        """Return how many values the space holds (`math.inf` if not countable)."""
        raise NotImplementedError(f"`{type(self).__name__}` has no cardinality.")

    def enumerate(self, use_mask: bool = False) -> Any:  # noqa: ANN401
        """Return every value of the space, stacked along a new first dimension.

        Args:
            use_mask: leave out the values that the mask forbids.
        """
        raise NotImplementedError(f"`{type(self).__name__}` cannot be enumerated.")

    def _view(self, op: Callable[[Tensor], Tensor]) -> Self:
        """Return the spec of `op(value)`; `op` is a view of a tensor of `self.shape`."""
        new = self._copy()
        new._set_shape(view_shape(self.shape, op))
        return new

    def _stack_dense(self, specs: Sequence[TensorSpec], dim: int) -> TensorSpec | None:
        """Return the dense stack of unequal specs of this class, or None if there is none.

        Args:
            specs: the specs to stack; the first is this one.
            dim: where the new dimension goes, not negative.
        """
        del specs, dim
        return None

    def _copy(self) -> Self:
        """Return a shallow copy whose attributes can be replaced."""
        new = copy.copy(self)
        new._memo = None if self._memo is None else {}
        return new

    # Values.

    def sample(self, shape: int | Sequence[int] | None = None) -> Any:  # noqa: ANN401
        """Draw a value; see `rand`."""
        return self.rand(shape)

    def zero(self, shape: int | Sequence[int] | None = None) -> Any:  # noqa: ANN401
        """Return zeros of shape `[*shape, *self.shape]`, whether or not they are in the space."""
        return torch.zeros(self._full_shape(shape), dtype=self.dtype, device=self.device)

    def one(self, shape: int | Sequence[int] | None = None) -> Any:  # noqa: ANN401
        """Return ones of shape `[*shape, *self.shape]`, whether or not they are in the space."""
        return torch.ones(self._full_shape(shape), dtype=self.dtype, device=self.device)

    def zeros(self, shape: int | Sequence[int] | None = None) -> Any:  # noqa: ANN401
        """Return zeros; see `zero`."""
        return self.zero(shape)

    def ones(self, shape: int | Sequence[int] | None = None) -> Any:  # noqa: ANN401
        """Return ones; see `one`."""
        return self.one(shape)

    def _full_shape(self, shape: int | Sequence[int] | None) -> torch.Size:
        if not shape and not isinstance(shape, int):
            return self._draw_shape
        return as_shape(shape) + self._draw_shape

    # Tests.

    def contains(self, item: Any) -> bool:  # noqa: ANN401
        """Return whether `item` is allowed; see `is_in`."""
        return self.is_in(item)

    def _matches(self, val: Any) -> bool:  # noqa: ANN401
        """Return whether `val` is a tensor with this dtype and trailing shape."""
        return isinstance(val, Tensor) and val.dtype == self.dtype and self._fits(val.shape)

    def _fits(self, shape: Sequence[int]) -> bool:
        """Return whether `shape` ends with this spec's shape."""
        own = self.shape
        ndim = len(own)
        if len(shape) < ndim:
            return False
        tail = tuple(shape[len(shape) - ndim :])
        if tail == tuple(own):
            return True
        return all(want in (-1, got) for want, got in zip(own, tail, strict=True))

    def _check_fits(self, shape: Sequence[int], what: str) -> None:
        if not self._fits(shape):
            raise ShapeError(
                f"{what} has shape {list(shape)}, `{type(self).__name__}` expects "
                f"[..., {', '.join(map(str, self.shape))}]: reshape the value, or build the spec "
                f"with shape={tuple(shape)}."
            )

    def assert_is_in(self, value: Any) -> None:  # noqa: ANN401
        """Raise unless `value` is allowed.

        Raises:
            SpecError: the value has another dtype, another shape, or lies outside the space.
        """
        if not self.is_in(value):
            raise SpecError(
                f"The value is not in the spec.\n  value: {describe(value)}\n  spec: {self}\n"
                "Call `spec.project(value)` to bring it in, or widen the spec."
            )

    def type_check(self, value: Any, key: Any = None) -> None:  # noqa: ANN401
        """Raise unless `value` has this spec's dtype.

        Raises:
            SpecError: names the key and both dtypes.
        """
        dtype = getattr(value, "dtype", None)
        if dtype != self.dtype:
            name = "The value" if key is None else f"`{key}`"
            raise SpecError(
                f"{name} has dtype {dtype}, `{type(self).__name__}` expects {self.dtype}: "
                "cast it, or build the spec with the value's dtype."
            )

    # From and to the outside.

    def project(self, val: Any) -> Any:  # noqa: ANN401
        """Return the value of the space that stands for `val`, cast to this dtype.

        Projecting twice changes nothing.

        Raises:
            ShapeError: `val` does not end with this spec's shape.
        """
        self._check_fits(val.shape, "The value to project")
        return self._project(val)

    def encode(self, val: Any, *, ignore_device: bool = False) -> Any:  # noqa: ANN401
        """Return `val` (a number, list, array or tensor) as a tensor of this spec.

        Args:
            val: the value; whether it lies in the space is not tested.
            ignore_device: leave the tensor where it is.

        Raises:
            ShapeError: the value does not end with this spec's shape.
        """
        if self._memo is not None:
            return self._encode_memoized(val, ignore_device)
        return self._encode(val, ignore_device)

    def _encode(self, val: Any, ignore_device: bool) -> Any:  # noqa: ANN401
        tensor = self._as_tensor(val, self.dtype, ignore_device)
        if not self._fits(tensor.shape) and tensor.numel() == 1 == self._draw_shape.numel():
            tensor = tensor.reshape(self._draw_shape)
        self._check_fits(tensor.shape, "The value to encode")
        return tensor

    def _as_tensor(self, val: Any, dtype: torch.dtype | None, ignore_device: bool) -> Tensor:  # noqa: ANN401
        if isinstance(val, list | tuple):
            # torch reads a list of arrays one number at a time
            val = torch.stack(val) if val and isinstance(val[0], Tensor) else np.asarray(val)
        device = None if ignore_device else self.device
        return torch.as_tensor(val, dtype=dtype, device=device)

    def _encode_memoized(self, val: Any, ignore_device: bool) -> Any:  # noqa: ANN401
        try:
            key = (memo_key(val), ignore_device)
        except TypeError:  # unhashable
            return self._encode(val, ignore_device)
        memo = self._memo
        if key not in memo:
            if len(memo) >= _ENCODE_MEMO_LIMIT:
                memo.clear()
            memo[key] = self._encode(val, ignore_device)
        return memo[key].clone()

    def memoize_encode(self, mode: bool = True) -> None:
        """Cache the results of `encode` per value, which pays for small discrete spaces.

        Args:
            mode: False turns the cache off and empties it.
        """
        self._memo = {} if mode else None

    def erase_memoize_cache(self) -> None:
        """Empty the cache of `encode`."""
        if self._memo is not None:
            self._memo = {}

    def to_numpy(self, val: Any, safe: bool | None = None) -> Any:  # noqa: ANN401
        """Return the value as numpy, as a simulator takes it.

        Args:
            val: a tensor of this spec.
            safe: test the value first.

        Raises:
            SpecError: `safe` is set and the value is not allowed.
        """
        if safe:
            self.assert_is_in(val)
        # numpy has no bfloat16; float32 holds its values
        wide = val.float() if val.dtype is torch.bfloat16 else val
        return wide.detach().cpu().numpy()

    def index(self, index: Any, tensor_to_index: Any) -> Any:  # noqa: ANN401
        """Return the entries of `tensor_to_index` that the discrete value `index` points at.

        Raises:
            NotImplementedError: the spec is not discrete.
        """
        raise NotImplementedError(f"`{type(self).__name__}` values cannot index a tensor.")

    # Shape.

    @property
    def ndim(self) -> int:
        """Number of dimensions of a value."""
        return len(self.shape)

    def ndimension(self) -> int:
        """Return the number of dimensions of a value."""
        return len(self.shape)

    def expand(self, *shape: int | Sequence[int]) -> Self:
        """Return the spec of values expanded to `shape`, as `Tensor.expand` does."""
        sizes = flat_args(shape)
        return self._view(lambda tensor: tensor.expand(sizes))

    def squeeze(self, dim: int | None = None) -> Self:
        """Return the spec without dimension `dim` if its size is 1 (all such, if None)."""
        return self._view(lambda tensor: tensor.squeeze() if dim is None else tensor.squeeze(dim))

    def unsqueeze(self, dim: int) -> Self:
        """Return the spec with a dimension of size 1 at `dim`."""
        return self._view(lambda tensor: tensor.unsqueeze(dim))

    def reshape(self, *shape: int | Sequence[int]) -> Self:
        """Return the spec of reshaped values."""
        sizes = flat_args(shape)
        return self._view(lambda tensor: tensor.reshape(sizes))

    def view(self, *shape: int | Sequence[int]) -> Self:
        """Return the spec of reshaped values; see `reshape`."""
        return self.reshape(*shape)

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Self:
        """Return the spec with dimensions `start_dim..end_dim` merged."""
        return self._view(lambda tensor: tensor.flatten(start_dim, end_dim))

    def unflatten(self, dim: int, sizes: Sequence[int]) -> Self:
        """Return the spec with dimension `dim` split into `sizes`."""
        return self._view(lambda tensor: tensor.unflatten(dim, sizes))

    def unbind(self, dim: int = 0) -> tuple[TensorSpec, ...]:
        """Return one spec per entry along `dim`."""
        dim = self._dim(dim)
        size = self.shape[dim]
        if size == -1:
            raise SpecError(f"Dimension {dim} of shape {list(self.shape)} is unknown: index it.")
        return tuple(self[(slice(None),) * dim + (i,)] for i in range(size))

    def __getitem__(self, index: Any) -> Self:  # noqa: ANN401
        return self._view(lambda tensor: tensor[index_on(index, tensor.device)])

    def make_neg_dim(self, dim: int) -> Self:
        """Return the spec with dimension `dim` of unknown size (-1)."""
        shape = list(self.shape)
        shape[self._dim(dim)] = -1
        first = tuple(
            slice(0, 1) if i == dim % self.ndim else slice(None) for i in range(self.ndim)
        )
        new = self[first]
        new._set_shape(torch.Size(shape))
        return new

    def _dim(self, dim: int) -> int:
        if not -self.ndim <= dim < self.ndim:
            raise ShapeError(
                f"Dimension {dim} is out of range for a `{type(self).__name__}` of shape "
                f"{list(self.shape)}: give one of {-self.ndim}..{self.ndim - 1}."
            )
        return dim % self.ndim

    # Copies and devices.

    def clone(self) -> Self:
        """Return a copy that shares nothing mutable with this spec."""
        new = self._copy()
        if self.space is not None:
            new.space = self.space.clone()
        return new

    def to(self, dest: DEVICE_TYPING | torch.dtype | None) -> Self:
        """Return the spec on another device or with another dtype."""
        if dest is None or dest == self.device or dest == self.dtype:
            return self
        if isinstance(dest, torch.dtype):
            return self._to_dtype(dest)
        device = as_device(dest)
        return self if device == self.device else self._to_device(device)

    def _to_device(self, device: torch.device) -> Self:
        new = self._copy()
        new.device = device
        if self.space is not None:
            new.space = self.space.to(device)
        return new

    def _to_dtype(self, dtype: torch.dtype) -> Self:
        new = self._copy()
        new.dtype = dtype
        return new

    def cpu(self) -> Self:
        """Return the spec on the CPU."""
        return self.to("cpu")

    def cuda(self, device: DEVICE_TYPING | None = None) -> Self:
        """Return the spec on a CUDA device, the current one by default."""
        return self.to("cuda" if device is None else torch.device(device))

    def clear_device_(self) -> Self:
        """Leave a leaf as it is; a `Composite` forgets its device."""
        return self

    # Comparison and text.

    def _identity(self) -> tuple:
        """Return what two equal specs share."""
        return (self.shape, self.dtype, self.device, self.domain, self.space)

    def __eq__(self, other: object) -> bool:
        family = self._family or type(self)
        if not isinstance(other, TensorSpec) or (other._family or type(other)) is not family:
            return False
        return equal(self._identity(), other._identity())

    __hash__ = None

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(shape={list(self.shape)}, space={self.space}, "
            f"device={self.device}, dtype={self.dtype}, domain={self.domain})"
        )


@implements(torch.squeeze)
def _squeeze(spec: TensorSpec, dim: int | None = None) -> TensorSpec:
    return spec.squeeze(dim)


@implements(torch.unsqueeze)
def _unsqueeze(spec: TensorSpec, dim: int) -> TensorSpec:
    return spec.unsqueeze(dim)


@implements(torch.unbind)
def _unbind(spec: TensorSpec, dim: int = 0) -> tuple[TensorSpec, ...]:
    return spec.unbind(dim)


@implements(torch.index_select)
def _index_select(spec: TensorSpec, dim: int, index: Tensor) -> TensorSpec:
    return spec[(slice(None),) * spec._dim(dim) + (index,)]
