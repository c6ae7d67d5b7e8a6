"""Reading pickles without unpickling: plain values and numpy arrays, nothing else.

Some public datasets are stored as pickles. A pickle is a program, and running one from the
internet gives it this machine. Here its instructions are only looked at: those that build plain
values and numpy arrays are followed, anything that would call something else is an error.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from typing import Any

import numpy as np

from rl.data.datasets.error import DatasetError

__all__ = ["read_inert"]


def read_inert(data: bytes, where: str) -> Any:  # noqa: ANN401 (plain values and arrays)
    r"""Return the value of a pickle that holds plain values and numpy arrays.

    Args:
        data: the pickle.
        where: what to call it in errors.

    Raises:
        DatasetError: it is damaged, or holds anything else.

    Example:
        >>> read_inert(b"(dS'a'\nI3\ns.", "the example")
        {'a': 3}
    """
    try:
        return _resolve(_Reader(where).read(data))
    except DatasetError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(
            f"{where} is damaged ({error!r}). Remove it to fetch it anew."
        ) from error


class _Named:
    """A name that the pickle refers to; never imported."""

    def __init__(self, name: str) -> None:
        self.name = name


class _Scalar:
    def __init__(self, dtype: _DType, data: Any) -> None:  # noqa: ANN401
        self.dtype = dtype
        self.data = data

    def value(self) -> Any:  # noqa: ANN401
        data = self.data.encode("latin1") if isinstance(self.data, str) else self.data
        return np.frombuffer(data, self.dtype.value())[0]


class _DType:
    def __init__(self, name: str) -> None:
        self.name = name
        self.order = "="

    def build(self, state: tuple[Any, ...]) -> None:
        if state[3] is not None:
            raise ValueError("a structured dtype")
        self.order = state[1]

    def value(self) -> np.dtype:
        dtype = np.dtype(self.name)
        return dtype.newbyteorder(self.order) if self.order in "<>" else dtype


class _Array:
    state: tuple[Any, ...]

    def build(self, state: tuple[Any, ...]) -> None:
        self.state = state[-4:]  # older ones lack the version

    def value(self) -> Any:  # noqa: ANN401
        shape, dtype, fortran, data = self.state
        if isinstance(data, list):
            array = np.empty(len(data), object)
            array[:] = [_resolve(item) for item in data]
        else:
            raw = data.encode("latin1") if isinstance(data, str) else data
            array = np.frombuffer(raw, dtype.value())
        array = array.reshape(shape, order="F" if fortran else "C")
        return array[()] if array.ndim == 0 else array


def _resolve(value: Any) -> Any:  # noqa: ANN401
    """Put arrays in the place of what stands for them."""
    if isinstance(value, dict):
        return {key: _resolve(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_resolve(item) for item in value)
    return value.value() if isinstance(value, _Array | _Scalar) else value


def _reconstruct(cls: _Named, shape: Any, kind: Any) -> _Array:  # noqa: ANN401
    if cls.name != "numpy ndarray":
        raise ValueError(f"a subclass of an array, {cls.name}")
    return _Array()


def _frombuffer(buffer: bytes, dtype: _DType, shape: tuple[int, ...], order: str) -> _Array:
    array = _Array()
    array.build((shape, dtype, order == "F", bytes(buffer)))
    return array


def _as_bytes(data: bytes | tuple[()] = (), *_: object) -> bytes:
    if isinstance(data, int):  # would make so many zeros
        raise ValueError("bytes of a number")
    return data.encode("latin1") if isinstance(data, str) else bytes(data)


_KNOWN: dict[str, Callable[..., Any]] = {
    "_codecs encode": lambda text, encoding: text.encode(encoding),
    "collections OrderedDict": lambda *parts: dict(*parts),
    "numpy dtype": lambda name, *_: _DType(name),
}
for _name in ("__builtin__ bytes", "builtins bytes", "builtins bytearray", "__builtin__ bytearray"):
    _KNOWN[_name] = _as_bytes
for _core in ("numpy.core", "numpy._core"):
    _KNOWN[f"{_core}.multiarray _reconstruct"] = _reconstruct
    _KNOWN[f"{_core}.multiarray scalar"] = _Scalar
    _KNOWN[f"{_core}.numeric _frombuffer"] = _frombuffer

_VALUES = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_IGNORED = {"PROTO", "FRAME", "STOP"}
_MARK = object()


class _Reader:
    """The stack machine of pickles, without its calls."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def read(self, data: bytes) -> Any:  # noqa: ANN401
        for opcode, argument, _ in pickletools.genops(data):
            name = opcode.name
            if name in _VALUES:
                self.stack.append(argument)
            elif name in _CONSTANTS:
                self.stack.append(_CONSTANTS[name])
            elif name not in _IGNORED:
                step = getattr(self, f"on_{name.lower()}", None)
                if step is None:
                    raise self._refused(f"the instruction {name}")
                step(argument)
        return self.stack.pop()

    def _refused(self, what: str) -> DatasetError:
        return DatasetError(
            f"{self.where} is a pickle with {what}; only plain values and numpy arrays are read, "
            "since anything else could run code. Do not unpickle it unless you trust its source."
        )

    def _since_mark(self) -> list[Any]:
        items: list[Any] = []
        while (item := self.stack.pop()) is not _MARK:
            items.append(item)
        return items[::-1]

    def on_mark(self, _: Any) -> None:  # noqa: ANN401
        self.stack.append(_MARK)

    def on_pop(self, _: Any) -> None:  # noqa: ANN401
        self.stack.pop()

    def on_empty_list(self, _: Any) -> None:  # noqa: ANN401
        self.stack.append([])

    def on_empty_dict(self, _: Any) -> None:  # noqa: ANN401
        self.stack.append({})

    def on_list(self, _: Any) -> None:  # noqa: ANN401
        self.stack.append(self._since_mark())

    def on_dict(self, _: Any) -> None:  # noqa: ANN401
        items = self._since_mark()
        self.stack.append(dict(zip(items[::2], items[1::2], strict=True)))

    def on_append(self, _: Any) -> None:  # noqa: ANN401
        item = self.stack.pop()
        self.stack[-1].append(item)

    def on_appends(self, _: Any) -> None:  # noqa: ANN401
        items = self._since_mark()
        self.stack[-1].extend(items)

    def on_setitem(self, _: Any) -> None:  # noqa: ANN401
        value, key = self.stack.pop(), self.stack.pop()
        self.stack[-1][key] = value

    def on_setitems(self, _: Any) -> None:  # noqa: ANN401
        items = self._since_mark()
        self.stack[-1].update(zip(items[::2], items[1::2], strict=True))

    def on_tuple(self, _: Any) -> None:  # noqa: ANN401
        self.stack.append(tuple(self._since_mark()))

    def _tuple(self, count: int) -> None:
        items = self.stack[-count:]
        del self.stack[-count:]
        self.stack.append(tuple(items))

    def on_tuple1(self, _: Any) -> None:  # noqa: ANN401
        self._tuple(1)

    def on_tuple2(self, _: Any) -> None:  # noqa: ANN401
        self._tuple(2)

    def on_tuple3(self, _: Any) -> None:  # noqa: ANN401
        self._tuple(3)

    def on_memoize(self, _: Any) -> None:  # noqa: ANN401
        self.memo[len(self.memo)] = self.stack[-1]

    def on_put(self, number: int) -> None:
        self.memo[number] = self.stack[-1]

    def on_get(self, number: int) -> None:
        self.stack.append(self.memo[number])

    on_binput = on_long_binput = on_put
    on_binget = on_long_binget = on_get

    def on_global(self, name: str) -> None:
        if name not in _KNOWN and name != "numpy ndarray":
            raise self._refused(f"the name `{name.replace(' ', '.')}`")
        self.stack.append(_Named(name))

    def on_stack_global(self, _: Any) -> None:  # noqa: ANN401
        name, module = self.stack.pop(), self.stack.pop()
        self.on_global(f"{module} {name}")

    def on_reduce(self, _: Any) -> None:  # noqa: ANN401
        arguments, function = self.stack.pop(), self.stack.pop()
        self.stack.append(_KNOWN[function.name](*arguments))

    def on_build(self, _: Any) -> None:  # noqa: ANN401
        state = self.stack.pop()
        self.stack[-1].build(state)
