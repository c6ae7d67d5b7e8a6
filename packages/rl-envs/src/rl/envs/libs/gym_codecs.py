"""Codecs: how the values of a gym space travel to and from numpy rows, and the spec that fits."""

from __future__ import annotations

import abc
import functools
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from tensordict import NonTensorData, NonTensorStack

from rl.core.errors import SpecError, nearest
from rl.core.specs import (
    Binary,
    Bounded,
    Categorical,
    MultiCategorical,
    MultiOneHot,
    NonTensor,
    OneHot,
    TensorSpec,
    Unbounded,
)

__all__ = [
    "LeafCodec",
    "codec_of",
    "has_converter",
    "is_dict_space",
    "numpy_to_torch_dtype",
    "register_gym_spec_conversion",
]

_converters: dict[type | str, Callable[..., TensorSpec]] = {}


@functools.cache
def numpy_to_torch_dtype(dtype: np.dtype) -> torch.dtype:
    """Return the torch dtype of the same name.

    Example:
        >>> numpy_to_torch_dtype(np.dtype("float32"))
        torch.float32
    """
    return torch.from_numpy(np.zeros(1, dtype)).dtype


def register_gym_spec_conversion(spec_type: type | str) -> Callable[[Callable], Callable]:
    """Register the function that turns a custom gym space into a spec.

    Args:
        spec_type: the class of the space, or its full name `"package.module.Class"` (no import
            needed).

    Returns:
        A decorator of `convert(space, dtype=None, device=None, categorical_action_encoding=False)`,
        which returns a spec. The spec's `encode` and `to_numpy` carry the values.

    Example:
        >>> @register_gym_spec_conversion("my_package.spaces.Angle")
        ... def convert(space, dtype=None, device=None, categorical_action_encoding=False):
        ...     return Bounded(-3.14, 3.14, shape=(1,))
    """

    def register(function: Callable[..., TensorSpec]) -> Callable[..., TensorSpec]:
        _converters[spec_type] = function
        return function

    return register


def is_dict_space(space: Any) -> bool:  # noqa: ANN401
    """Tell whether `space` is a gym `Dict`."""
    return _kind(space) == "Dict"


def _kind(space: Any) -> str:  # noqa: ANN401
    """Return the name of the built-in gym space that `space` is, or an empty string."""
    for cls in type(space).__mro__:
        if cls.__module__.split(".", 1)[0] in ("gym", "gymnasium") and cls.__name__ in _CODECS:
            return cls.__name__
    return ""


def _converter(space: Any) -> Callable[..., TensorSpec] | None:  # noqa: ANN401
    for cls in type(space).__mro__:
        found = _converters.get(cls) or _converters.get(f"{cls.__module__}.{cls.__qualname__}")
        if found is not None:
            return found
    return None


def has_converter(space: Any) -> bool:  # noqa: ANN401
    """Tell whether the user registered a converter for the class of `space`."""
    return _converter(space) is not None


class LeafCodec(abc.ABC):
    """Carries the values of one space: `encode` to numpy, `decode` from a numpy row."""

    tensor: bool = True
    """Whether values are arrays; a `Text` is not."""

    @abc.abstractmethod
    def spec(self, device: torch.device | str | None = None) -> TensorSpec:
        """Return the spec of one value."""

    @abc.abstractmethod
    def encode(self, value: Any) -> np.ndarray:  # noqa: ANN401
        """Return the value as a fresh array of the spec's dtype."""

    @abc.abstractmethod
    def decode(self, row: np.ndarray) -> Any:  # noqa: ANN401
        """Return the gym value of a row; nothing in it shares memory with `row`."""

    def reader(self, row: np.ndarray) -> Callable[[], Any]:
        """Return a function that decodes `row`, which lies in a preallocated array."""
        return functools.partial(self.decode, row)

    def writer(self, row: np.ndarray) -> Callable[[Any], None]:
        """Return a function that writes a value into `row`, which lies in a preallocated array."""
        return lambda value: np.copyto(row, self.encode(value))

    def encode_batch(self, values: Any) -> np.ndarray:  # noqa: ANN401
        """Encode a batch as gym's vector envs deliver it."""
        return np.stack([self.encode(value) for value in values])

    def decode_batch(self, rows: np.ndarray) -> Any:  # noqa: ANN401
        """Decode a batch of rows into what gym's vector envs take."""
        return np.stack([np.asarray(self.decode(row)) for row in rows])

    def to_tensor(self, value: Any) -> Any:  # noqa: ANN401
        """Return the value as a fresh tensor."""
        return torch.from_numpy(self.encode(value))

    def batch_to_tensor(self, values: Any) -> Any:  # noqa: ANN401
        """Return a batch of values as one fresh tensor."""
        return torch.from_numpy(self.encode_batch(values))


class BoxCodec(LeafCodec):
    """A `Box`."""

    def __init__(self, space: Any, categorical: bool = False, float32: bool = False) -> None:  # noqa: ANN401
        del categorical
        self.space = space
        dtype = np.dtype(space.dtype)
        self.space_dtype = dtype
        self.dtype = np.dtype(np.float32) if float32 and dtype == np.float64 else dtype

    def spec(self, device: torch.device | str | None = None) -> TensorSpec:
        dtype, shape = numpy_to_torch_dtype(self.dtype), torch.Size(self.space.shape)
        low, high = np.asarray(self.space.low), np.asarray(self.space.high)
        if self._is_unbounded(low, high):
            return Unbounded(shape, dtype=dtype, device=device)
        low = torch.from_numpy(low.astype(self.dtype)).reshape(shape)
        high = torch.from_numpy(high.astype(self.dtype)).reshape(shape)
        return Bounded(low, high, shape=shape, dtype=dtype, device=device)

    def _is_unbounded(self, low: np.ndarray, high: np.ndarray) -> bool:
        if self.dtype.kind in "iu":
            info = np.iinfo(self.dtype)
            return bool((low == info.min).all() and (high == info.max).all())
        return bool(np.isneginf(low).all() and np.isposinf(high).all())

    def encode(self, value: Any) -> np.ndarray:  # noqa: ANN401
        return np.array(value, self.dtype)

    encode_batch = encode

    def writer(self, row: np.ndarray) -> Callable[[Any], None]:
        # `row[...] = value` without a frame of its own
        return functools.partial(row.__setitem__, ...)

    def decode(self, row: np.ndarray) -> Any:  # noqa: ANN401
        return np.array(row, self.space_dtype)

    decode_batch = decode


class DiscreteCodec(LeafCodec):
    """A `Discrete`: one-hot, or an index that starts at 0 whatever the space's `start`."""

    def __init__(self, space: Any, categorical: bool = False, float32: bool = False) -> None:  # noqa: ANN401
        del float32
        self.n = int(space.n)
        self.start = int(getattr(space, "start", 0))
        self.categorical = categorical
        # numpy integers, as `space.sample()` gives: gym checks them quicker than Python's
        self._values = None if categorical else np.arange(self.start, self.start + self.n)

    def spec(self, device: torch.device | str | None = None) -> TensorSpec:
        kind = Categorical if self.categorical else OneHot
        return kind(self.n, dtype=torch.int64, device=device)

    def encode(self, value: Any) -> np.ndarray:  # noqa: ANN401
        if self.categorical:
            return np.array(int(value) - self.start, np.int64)
        row = np.zeros(self.n, np.int64)
        row[value - self.start] = 1
        return row

    def decode(self, row: np.ndarray) -> np.int64:
        if self.categorical:
            return row[()] + self.start
        return self._values[row.tolist().index(1)]

    def reader(self, row: np.ndarray) -> Callable[[], np.int64]:
        if self.categorical:
            return super().reader(row)
        # the quickest argmax of a short row
        values, tolist = self._values, row.tolist
        return lambda: values[tolist().index(1)]

    def encode_batch(self, values: Any) -> np.ndarray:  # noqa: ANN401
        index = np.asarray(values, np.int64) - self.start
        return index if self.categorical else np.eye(self.n, dtype=np.int64)[index]

    def decode_batch(self, rows: np.ndarray) -> np.ndarray:
        return (rows if self.categorical else rows.argmax(-1)) + self.start


class MultiDiscreteCodec(LeafCodec):
    """A 1-d `MultiDiscrete`; one-hot rows are `[k, n]` if sizes are equal, else joined."""

    def __init__(self, space: Any, categorical: bool = False, float32: bool = False) -> None:  # noqa: ANN401
        del float32
        self.nvec = np.asarray(space.nvec, np.int64)
        self.start = np.asarray(getattr(space, "start", np.zeros_like(self.nvec)), np.int64)
        self.categorical = categorical
        self.equal = bool((self.nvec == self.nvec[0]).all())
        self.offsets = np.concatenate([[0], np.cumsum(self.nvec)[:-1]])
        self.dtype = np.dtype(space.dtype)

    def spec(self, device: torch.device | str | None = None) -> TensorSpec:
        k, n, nvec = len(self.nvec), int(self.nvec[0]), self.nvec.tolist()
        if self.equal and self.categorical:
            return Categorical(n, shape=torch.Size([k]), dtype=torch.int64, device=device)
        if self.equal:
            return OneHot(n, shape=torch.Size([k, n]), dtype=torch.int64, device=device)
        kind = MultiCategorical if self.categorical else MultiOneHot
        return kind(nvec, dtype=torch.int64, device=device)

    def encode_batch(self, values: Any) -> np.ndarray:  # noqa: ANN401
        index = np.asarray(values, np.int64) - self.start
        if self.categorical:
            return index
        if self.equal:
            return np.eye(int(self.nvec[0]), dtype=np.int64)[index]
        rows = np.zeros((*index.shape[:-1], int(self.nvec.sum())), np.int64)
        np.put_along_axis(rows, index + self.offsets, 1, axis=-1)
        return rows

    encode = encode_batch

    def decode_batch(self, rows: np.ndarray) -> np.ndarray:
        if self.categorical:
            index = rows
        elif self.equal:
            index = rows.argmax(-1)
        else:
            parts = np.split(rows, self.offsets[1:], axis=-1)
            index = np.stack([part.argmax(-1) for part in parts], axis=-1)
        return (index + self.start).astype(self.dtype)

    decode = decode_batch


class MultiBinaryCodec(LeafCodec):
    """A `MultiBinary`."""

    def __init__(self, space: Any, categorical: bool = False, float32: bool = False) -> None:  # noqa: ANN401
        del categorical, float32
        self.shape = torch.Size(space.shape)

    def spec(self, device: torch.device | str | None = None) -> TensorSpec:
        return Binary(self.shape[-1], shape=self.shape, dtype=torch.int8, device=device)

    def encode(self, value: Any) -> np.ndarray:  # noqa: ANN401
        return np.array(value, np.int8)

    decode = encode_batch = decode_batch = encode


class TupleCodec(LeafCodec):
    """A `Tuple` of one kind of space: its members are stacked along dim 0."""

    def __init__(
        self,
        spaces: Iterable[Any],
        categorical: bool = False,
        float32: bool = False,
        *,
        as_array: bool = False,
    ) -> None:
        self.members = [codec_of(space, categorical, float32) for space in spaces]
        self.as_array = as_array
        specs = [member.spec() for member in self.members]
        kinds = {type(spec) for spec in specs}
        if kinds == {Bounded, Unbounded}:
            kinds = {Bounded}
        if len(kinds) != 1 or len({spec.dtype for spec in specs}) != 1 or not self._all_tensors():
            names = ", ".join(type(spec).__name__ for spec in specs)
            raise SpecError(
                f"A gym `Tuple` becomes one stacked entry, so its members must be of one kind and "
                f"dtype; given: {names}. Use a gym `Dict` space, which names each member."
            )
        self.ragged = len({spec.shape for spec in specs}) > 1

    def _all_tensors(self) -> bool:
        return all(member.tensor for member in self.members)

    def spec(self, device: torch.device | str | None = None) -> TensorSpec:
        return torch.stack([member.spec(device) for member in self.members], 0)

    def encode(self, value: Any) -> np.ndarray:  # noqa: ANN401
        parts = [member.encode(v) for member, v in zip(self.members, value, strict=True)]
        return self._stack(parts, 0)

    def encode_batch(self, values: Any) -> np.ndarray:  # noqa: ANN401
        if self.as_array:
            values = np.moveaxis(np.asarray(values), 1, 0)
        parts = [member.encode_batch(v) for member, v in zip(self.members, values, strict=True)]
        return self._stack(parts, 1)

    def _stack(self, parts: list[np.ndarray], axis: int) -> np.ndarray:
        if self.ragged:
            shapes = ", ".join(str(list(part.shape)) for part in parts)
            raise SpecError(
                f"The members of a gym `Tuple` have shapes {shapes}, which do not stack into one "
                f"tensor. Use a gym `Dict` space, which names each member."
            )
        return np.stack(parts, axis)

    def decode(self, row: np.ndarray) -> Any:  # noqa: ANN401
        values = tuple(member.decode(part) for member, part in zip(self.members, row, strict=True))
        return np.stack(values) if self.as_array else values

    def decode_batch(self, rows: np.ndarray) -> Any:  # noqa: ANN401
        parts = np.moveaxis(rows, 1, 0)
        values = tuple(m.decode_batch(part) for m, part in zip(self.members, parts, strict=True))
        return np.stack(values, 1) if self.as_array else values


class SequenceCodec(LeafCodec):
    """A stacked `Sequence`: the leading size varies from value to value."""

    def __init__(self, space: Any, categorical: bool = False, float32: bool = False) -> None:  # noqa: ANN401
        if not getattr(space, "stack", False):
            raise SpecError(
                "A gym `Sequence` needs stacked values to become a tensor; given `stack=False`. "
                "Build it with `Sequence(space, stack=True)`."
            )
        self.member = codec_of(space.feature_space, categorical, float32)

    def spec(self, device: torch.device | str | None = None) -> TensorSpec:
        return self.member.spec(device).unsqueeze(0).make_neg_dim(0)

    def encode(self, value: Any) -> np.ndarray:  # noqa: ANN401
        return self.member.encode_batch(value)

    def decode(self, row: np.ndarray) -> Any:  # noqa: ANN401
        return self.member.decode_batch(row)


class TextCodec(LeafCodec):
    """A `Text`: a string, carried as non-tensor data."""

    tensor = False

    def __init__(self, space: Any, categorical: bool = False, float32: bool = False) -> None:  # noqa: ANN401
        del space, categorical, float32

    def spec(self, device: torch.device | str | None = None) -> TensorSpec:
        return NonTensor(shape=torch.Size([]), example_data="a string", device=device)

    def encode(self, value: Any) -> np.ndarray:  # noqa: ANN401
        return np.asarray(value)

    def decode(self, row: Any) -> Any:  # noqa: ANN401
        return row

    def to_tensor(self, value: Any) -> NonTensorData:  # noqa: ANN401
        return NonTensorData(value)

    def batch_to_tensor(self, values: Any) -> NonTensorStack:  # noqa: ANN401
        return NonTensorStack(*(NonTensorData(value) for value in values))


class CustomCodec(LeafCodec):
    """A space that the user registered a converter for."""

    def __init__(self, space: Any, convert: Callable[..., TensorSpec], categorical: bool) -> None:  # noqa: ANN401
        self._convert = functools.partial(convert, space, categorical_action_encoding=categorical)
        self._spec = self._convert()

    def spec(self, device: torch.device | str | None = None) -> TensorSpec:
        return self._convert(device=device)

    def encode(self, value: Any) -> np.ndarray:  # noqa: ANN401
        return self._spec.encode(value).clone().numpy()

    def decode(self, row: np.ndarray) -> Any:  # noqa: ANN401
        return self._spec.to_numpy(torch.from_numpy(np.array(row)))


def _multi_discrete(space: Any, categorical: bool, float32: bool) -> LeafCodec:  # noqa: ANN401
    if len(space.shape) == 1:
        return MultiDiscreteCodec(space, categorical, float32)
    start = getattr(space, "start", np.zeros_like(space.nvec))
    rows = [type(space)(n, start=s) for n, s in zip(space.nvec, start, strict=True)]
    return TupleCodec(rows, categorical, float32, as_array=True)


def _tuple(space: Any, categorical: bool, float32: bool) -> LeafCodec:  # noqa: ANN401
    return TupleCodec(space.spaces, categorical, float32)


def _nested_dict(space: Any, categorical: bool, float32: bool) -> LeafCodec:  # noqa: ANN401
    raise SpecError(
        f"A gym `Dict` inside a `Tuple` or a `Sequence` cannot be stacked into one entry; given "
        f"{space}. Make the outer space a `Dict`."
    )


_CODECS: dict[str, Callable[[Any, bool, bool], LeafCodec]] = {
    "Box": BoxCodec,
    "Discrete": DiscreteCodec,
    "MultiDiscrete": _multi_discrete,
    "MultiBinary": MultiBinaryCodec,
    "Tuple": _tuple,
    "Sequence": SequenceCodec,
    "Text": TextCodec,
    "Dict": _nested_dict,
}


def codec_of(space: Any, categorical: bool = False, float32: bool = False) -> LeafCodec:  # noqa: ANN401
    """Return the codec of a space that is no `Dict`.

    Raises:
        SpecError: when the space is of an unknown kind.
    """
    convert = _converter(space)
    if convert is not None:
        return CustomCodec(space, convert, categorical)
    kind = _kind(space)
    if not kind:
        name = type(space).__name__
        raise SpecError(
            f"The gym space `{name}` has no spec. {nearest(name, _CODECS)} "
            f"Register a converter with `register_gym_spec_conversion`."
        )
    return _CODECS[kind](space, categorical, float32)
