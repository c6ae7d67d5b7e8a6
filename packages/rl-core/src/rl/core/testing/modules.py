"""The conformance kit of TensorDict modules: do they read and write what they say, row by row?"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from tensordict import NonTensorData, TensorDictBase
from tensordict.nn import TensorDictModuleBase
from torch import Tensor

from rl.core.contract.keys import NestedKey, unravel_key
from rl.core.modules.exploration.modes import ExplorationType, set_exploration_type

__all__ = ["check_module"]


def check_module(  # noqa: PLR0913 (one argument per property that a module may lack)
    module: TensorDictModuleBase,
    data: TensorDictBase,
    *,
    optional_keys: Sequence[NestedKey] = (),
    also_writes: Sequence[NestedKey] = (),
    rows: bool = True,
    vmap: bool = True,
    dispatch: bool = True,
    dtype: torch.dtype | None = torch.float64,
    device: torch.device | str | None = None,
    compile: bool | dict[str, Any] = False,
    tolerance: float = 1e-4,
) -> None:
    """Raise unless `module` is a TensorDict module that keeps its word.

    It checks that exactly `in_keys` are read and exactly `out_keys` are written; that no tensor
    given is changed; that outputs have the batch size and the device of the data; that a batch is
    its rows and `torch.vmap` of them; that a copy is independent; that a state dict restores
    another; that calling with tensors is calling with a TensorDict (`dispatch`); that another
    dtype or device, and `torch.compile`, give the same numbers.

    What is random is compared with equal seeds, or, where rows are compared, in the deterministic
    exploration mode.

    Args:
        module: the module; copies of it are called.
        data: `[N, ...]` rows with what the module reads, N of 2 or more.
        optional_keys: those of `in_keys` that may be absent, and of `out_keys` that are not
            written in every mode.
        also_writes: what is written beside `out_keys`, on purpose.
        rows: whether rows are independent of each other.
        vmap: whether `torch.vmap` works.
        dispatch: whether the module may be called with tensors.
        dtype: a floating dtype that the module must work in too; None for none.
        device: a device that it must work on too.
        compile: True, or the arguments of `torch.compile`.
        tolerance: of numbers that need not be equal bit by bit, relative and absolute.

    Raises:
        AssertionError: names the property that does not hold, and the key.

    Example:
        >>> from tensordict import TensorDict
        >>> from tensordict.nn import TensorDictModule
        >>> module = TensorDictModule(torch.nn.Linear(3, 2), ["a"], [("b", "c")])
        >>> check_module(module, TensorDict({"a": torch.randn(4, 3)}, [4]))
    """
    kit = _Kit(module, data, tolerance)
    optional = {unravel_key(key) for key in optional_keys}
    kit.check_writes({unravel_key(key) for key in also_writes}, optional)
    kit.check_reads(optional)
    kit.check_state()
    if rows:
        kit.check_rows()
    if rows and vmap:
        kit.check_vmap()
    if dispatch:
        kit.check_dispatch()
    if dtype is not None:
        kit.check_dtype(dtype)
    if device is not None:
        kit.check_device(torch.device(device))
    if compile:
        kit.check_compile(compile if isinstance(compile, dict) else {})


class _Kit:
    """The checks of one module on its data."""

    def __init__(
        self, module: TensorDictModuleBase, data: TensorDictBase, tolerance: float
    ) -> None:
        self.module, self.data, self.tolerance = module, data, tolerance
        self.in_keys = [unravel_key(key) for key in module.in_keys]
        self.out_keys = [unravel_key(key) for key in module.out_keys]
        self.require(data.ndim > 0 and len(data) > 1, "the data must be `[N, ...]` rows, N > 1")
        self.out = self.run(module, data)

    def require(self, condition: bool, message: str) -> None:
        if not condition:
            raise AssertionError(f"{type(self.module).__name__} conformance: {message}.")

    # ------------------------------------------------------------------- running

    def run(
        self,
        module: Callable[..., Any],
        data: TensorDictBase,
        mode: ExplorationType = ExplorationType.RANDOM,
    ) -> TensorDictBase:
        """Call a copy of `module` on a shallow copy of `data`, with a seed of its own."""
        with torch.random.fork_rng(devices=[]), torch.no_grad(), set_exploration_type(mode):
            torch.manual_seed(0)
            return copy.deepcopy(module)(data.copy())

    def attempt(self, what: str, call: Callable[[], Any]) -> Any:  # noqa: ANN401
        try:
            return call()
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            raise AssertionError(
                f"{type(self.module).__name__} conformance: {what} raises {text}"
            ) from error

    def compare(self, found: TensorDictBase, expected: TensorDictBase, what: str) -> None:
        for key in self.out_keys:
            self.require(
                self.close(found.get(key), expected.get(key)),
                f"`{key}` differs {what}",
            )

    def close(self, found: Any, expected: Any) -> bool:  # noqa: ANN401
        if isinstance(expected, TensorDictBase):
            keys = set(expected.keys(True, True))
            return set(found.keys(True, True)) == keys and all(
                self.close(found.get(key), expected.get(key)) for key in keys
            )
        if not isinstance(expected, Tensor):
            return bool(found == expected)
        if found.shape != expected.shape or found.is_floating_point() != (
            expected.is_floating_point()
        ):
            return False
        if not expected.is_floating_point():
            return torch.equal(found.cpu(), expected.cpu())
        found, expected = found.detach().cpu().double(), expected.detach().cpu().double()
        return torch.allclose(found, expected, self.tolerance, self.tolerance, equal_nan=True)

    # -------------------------------------------------------------------- checks

    def check_writes(self, more: set[NestedKey], optional: set[NestedKey]) -> None:
        given = {key: value for key, value in self.data.items(True, True) if _is_tensor(value)}
        before = {key: value.clone() for key, value in given.items()}
        out = self.run(self.module, self.data)
        for key, value in given.items():
            same = torch.equal(value.nan_to_num(), before[key].nan_to_num())
            self.require(same, f"the tensor given at `{key}` is changed in place")
        present = set(out.keys(True))
        lacking = [key for key in self.out_keys if key not in present | optional]
        self.require(not lacking, f"`{_first(lacking)}` is in `out_keys` and is not written")
        for key, value in out.items(True, True):
            if not _is_below(key, [*self.out_keys, *more]):
                old = given.get(key)
                untouched = key in given and value is old
                self.require(
                    untouched or not _is_tensor(value),
                    f"`{key}` is written and is not in `out_keys`",
                )
            elif _is_tensor(value):
                self.require(
                    value.shape[: self.data.ndim] == self.data.batch_size,
                    f"`{key}` has shape {list(value.shape)}, which does not begin with the batch "
                    f"size {list(self.data.batch_size)}",
                )

    def check_reads(self, optional: set[NestedKey]) -> None:
        lean = self.data.select(*self.in_keys, strict=False)
        out = self.attempt("a call with `in_keys` alone", lambda: self.run(self.module, lean))
        self.compare(out, self.out, "when only `in_keys` are given: another key is read")
        for key in self.in_keys:
            if key in optional:
                continue
            rest = lean.exclude(key)
            try:
                out = self.run(self.module, rest)
            except Exception:
                continue
            self.require(
                any(not self.close(out.get(k, None), self.out.get(k)) for k in self.out_keys),
                f"`{key}` is in `in_keys` and is not read",
            )

    def check_state(self) -> None:
        twin = copy.deepcopy(self.module)
        self.compare(self.run(twin, self.data), self.out, "for a deep copy")
        with torch.no_grad():
            for value in twin.state_dict().values():
                if _is_tensor(value):
                    value.copy_(value + 1 if value.dtype is not torch.bool else ~value)
        self.compare(self.run(self.module, self.data), self.out, "after a deep copy was changed")
        twin.load_state_dict(self.module.state_dict())
        self.compare(self.run(twin, self.data), self.out, "for a copy that loaded the state dict")

    def check_rows(self) -> None:
        mode = ExplorationType.DETERMINISTIC
        whole = self.run(self.module, self.data, mode)
        for index in range(len(self.data)):
            row = self.attempt(
                "a call without batch size",
                lambda index=index: self.run(self.module, self.data[index], mode),
            )
            self.compare(row, whole[index], f"between row {index} alone and in the batch")

    def check_vmap(self) -> None:
        mode = ExplorationType.DETERMINISTIC
        module = copy.deepcopy(self.module)

        def one(row: TensorDictBase) -> TensorDictBase:
            return module(row).select(*self.out_keys, strict=False)

        with torch.no_grad(), set_exploration_type(mode):
            found = self.attempt(
                "`torch.vmap`", lambda: torch.vmap(one, randomness="different")(self.data.copy())
            )
        self.compare(found, self.run(self.module, self.data, mode), "under `torch.vmap`")

    def check_dispatch(self) -> None:
        tensors = [self.data.get(key) for key in self.in_keys]
        names = ["_".join((key,) if isinstance(key, str) else key) for key in self.in_keys]
        calls = {
            "a call with tensors": lambda module: module(*tensors),
            "a call with keywords": lambda module: module(**dict(zip(names, tensors, strict=True))),
        }
        for what, call in calls.items():
            with torch.random.fork_rng(devices=[]), torch.no_grad():
                torch.manual_seed(0)
                with set_exploration_type(ExplorationType.RANDOM):
                    module = copy.deepcopy(self.module)
                    got = self.attempt(what, lambda call=call, module=module: call(module))
            got = got if isinstance(got, tuple) else (got,)
            self.require(
                len(got) == len(self.out_keys),
                f"{what} returns {len(got)} tensors for {len(self.out_keys)} `out_keys`",
            )
            for key, value in zip(self.out_keys, got, strict=True):
                same = self.close(value, self.out.get(key))
                self.require(same, f"`{key}` differs in {what}")

    def check_dtype(self, dtype: torch.dtype) -> None:
        mode = ExplorationType.DETERMINISTIC
        module = copy.deepcopy(self.module).to(dtype)
        data = self.data.apply(
            lambda value: value.to(dtype) if value.is_floating_point() else value
        )
        out = self.attempt(f"a call in {dtype}", lambda: self.run(module, data, mode))
        whole = self.run(self.module, self.data, mode)
        for key, value in whole.items(True, True):
            if not _is_below(key, self.out_keys) or not _is_tensor(value):
                continue
            expected = dtype if value.is_floating_point() else value.dtype
            found = out.get(key).dtype
            self.require(found == expected, f"`{key}` is {found} for data and module of {dtype}")
        self.compare(out, whole, f"in {dtype}")

    def check_device(self, device: torch.device) -> None:
        mode = ExplorationType.DETERMINISTIC
        module = copy.deepcopy(self.module).to(device)
        out = self.attempt(
            f"a call on {device}", lambda: self.run(module, self.data.to(device), mode)
        )
        for key, value in out.items(True, True):
            if _is_tensor(value):
                found = value.device.type
                self.require(found == device.type, f"`{key}` is on {found}, the data on {device}")
        self.compare(out, self.run(self.module, self.data, mode), f"on {device}")

    def check_compile(self, options: dict[str, Any]) -> None:
        mode = ExplorationType.DETERMINISTIC
        compiled = torch.compile(copy.deepcopy(self.module), **options)
        with torch.no_grad(), set_exploration_type(mode):
            out = self.attempt("the compiled module", lambda: compiled(self.data.copy()))
        self.compare(out, self.run(self.module, self.data, mode), "when compiled")


def _is_tensor(value: object) -> bool:
    return isinstance(value, Tensor) and not isinstance(value, NonTensorData)


def _is_below(key: NestedKey, groups: Sequence[NestedKey]) -> bool:
    """Return whether `key` is one of the keys, or an entry of a group that is."""
    path = (key,) if isinstance(key, str) else key
    heads = [(group,) if isinstance(group, str) else group for group in groups]
    return any(path[: len(head)] == head for head in heads)


def _first(keys: Sequence[NestedKey]) -> object:
    return keys[0] if keys else None
