"""The two roads from a batch to its envs: buffers of fixed layout, or one TensorDict per env."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from tensordict import LazyStackedTensorDict, NestedKey, TensorDict, TensorDictBase
from torch import Tensor

from rl.core import Composite, MissingKeyError
from rl.envs.base import EnvBase
from rl.envs.stepping import check_not_done
from rl.envs.stepping import select_rows as where_rows
from rl.envs.vector.backend import Backend
from rl.envs.vector.group import GROUPS, EnvMeta
from rl.envs.vector.shared_buffers import Buffers, Layout

__all__ = ["BufferedRows", "StackedRows", "rows_of"]


def rows_of(
    backend: Backend, metas: Sequence[EnvMeta], device: torch.device | None
) -> BufferedRows | StackedRows:
    """Return the quickest road that carries the data of these envs."""
    first = metas[0]
    uniform = all(meta.specs == first.specs for meta in metas[1:])
    if uniform and Layout.fits(list(first.specs.values())):
        return BufferedRows(backend, metas, device)
    return StackedRows(backend, metas, device, uniform=uniform)


class _Rows(EnvBase):
    """A batch of envs, [N, *B], run by a backend."""

    def __init__(
        self, backend: Backend, metas: Sequence[EnvMeta], device: torch.device | None
    ) -> None:
        self.num_rows = len(metas)
        super().__init__(
            device=device,
            batch_size=(len(metas), *metas[0].batch_size),
            allow_done_after_reset=all(meta.allow_done_after_reset for meta in metas),
        )
        self.backend = backend
        self.metas = metas
        self._everything = np.ones(self.num_rows, bool)
        self.stateless = not all(meta.batch_locked for meta in metas)

    def _set_seed(self, seed: int | None) -> None:
        raise NotImplementedError("The vector env seeds its envs.")

    def selected(self, mask: Tensor) -> np.ndarray:
        """Return the [N] bool mask of the envs of which any part is selected."""
        flat = mask.cpu().numpy().reshape(self.num_rows, -1)
        return flat[:, 0] if flat.shape[1] == 1 else flat.any(-1)

    def splits_a_row(self, mask: Tensor) -> bool:
        """Tell whether a mask selects some, but not all, of one env's own batch."""
        if len(self.batch_size) == 1:
            return False
        flat = mask.reshape(self.num_rows, -1)
        return bool((flat.any(-1) != flat.all(-1)).any())

    def reset_rows(self, tensordict: TensorDictBase | None) -> tuple[np.ndarray, bool]:
        """Return the envs to reset, and whether one of them is reset in part only."""
        everything = self._everything
        if tensordict is None:
            return everything, False
        root = tensordict.get("_reset", None)
        if root is not None and self.ndim == 1:
            return root.cpu().numpy().reshape(-1), False
        keys = ["_reset"] if root is not None else self.reset_keys
        masks = [mask for key in keys if (mask := tensordict.get(key, None)) is not None]
        if not masks:
            return everything, False
        rows = np.any([self.selected(mask) for mask in masks], axis=0)
        return rows, any(map(self.splits_a_row, masks))

    def call_reset(
        self, rows: Sequence[int], tensordict: TensorDictBase | None, kwargs: dict[str, Any]
    ) -> list[TensorDictBase]:
        """Reset some envs through their `reset` method."""
        args: list[tuple] = [()] * len(rows)
        if tensordict is not None:
            keys = [*self.state_keys, *self.reset_keys, "_reset"]
            if kwargs.get("set_state"):
                keys += [*self.observation_keys, *self.done_keys]
            given = tensordict.select(*keys, strict=False)
            if not given.is_empty():
                args = [(given[row].clone(),) for row in rows]
        return self.backend.call(rows, "reset", args, kwargs)


class BufferedRows(_Rows):
    """The quick road: rows of buffers that the envs read and write in place.

    Args:
        backend: runs the envs.
        metas: what the envs are like; their specs are equal.
        device: where results are delivered.
    """

    def __init__(
        self, backend: Backend, metas: Sequence[EnvMeta], device: torch.device | None
    ) -> None:
        super().__init__(backend, metas, device)
        specs = metas[0].specs
        for group in GROUPS:
            spec = specs[group]
            expanded = spec.expand(self.num_rows, *spec.shape)
            self._set_spec(group, expanded)
        extra = ("observation", "done") if any(meta.reads_root for meta in metas) else ()
        layout = Layout(
            {
                "inputs": merged(specs, "action", "state", *extra),
                "next": merged(specs, "observation", "reward", "done"),
                "first": merged(specs, "state", "observation", "done"),
            },
            self.num_rows,
        )
        self.buffers: Buffers = backend.bind(layout)
        required = {*self.action_keys, *self.state_keys}
        self._inputs = [
            (key, torch.from_numpy(array), key in required)
            for path, array in self.buffers.arrays["inputs"].items()
            for key in [path[0] if len(path) == 1 else path]
        ]
        self._next = _Reader(self.buffers, "next", device)
        self._first = _Reader(self.buffers, "first", device)
        first = self.buffers.arrays["first"]
        self._first_leaves = [_Leaf.of(path[0], array) for path, array in first.items()]
        self._is_flat = (
            self.ndim == 1
            and all(len(path) == 1 for path in first)
            and self.reset_keys == ["_reset"]
            and not self.stateless
            and (device is None or device.type == "cpu")
        )
        if self._is_flat:
            self._done = first[("done",)]

    def _write_inputs(self, tensordict: TensorDictBase) -> None:
        for key, row, required in self._inputs:
            value = tensordict.get(key, None)
            if value is not None:
                row.copy_(value.detach() if value.requires_grad else value)
            elif required:
                raise MissingKeyError(
                    f"The envs read `{key}`, which the TensorDict lacks: it holds "
                    f"{sorted(map(str, tensordict.keys(True, True)))}. Run the policy, or "
                    "`env.rand_action(tensordict)`, before `env.step`."
                )

    def _step(self, tensordict: TensorDictBase) -> TensorDictBase:
        self._write_inputs(tensordict)
        self.backend.step()
        return self._next.read()

    def _masked_step_next(self, tensordict: TensorDictBase, mask: Tensor) -> TensorDictBase:
        still = self._stand_still(tensordict)
        selected = self.selected(mask)
        if not selected.any():
            return still
        self._write_inputs(tensordict)
        if self.splits_a_row(mask):
            rows = selected.nonzero()[0].tolist()
            args = [(tensordict[row].clone(),) for row in rows]
            for row, result in zip(
                rows, self.backend.call(rows, "step_next", args, {}), strict=True
            ):
                self.buffers.slots(row)[0].next.update_(result)
        else:
            self.buffers.mask[:] = selected
            self.backend.step_masked()
        return where_rows(mask.reshape(self.batch_size), self._next.read(), still)

    def _reset(self, tensordict: TensorDictBase | None = None, **kwargs: Any) -> TensorDictBase:
        selected, split = self.reset_rows(tensordict)
        if kwargs or split or self._brings_state(tensordict):
            rows = selected.nonzero()[0].tolist()
            results = self.call_reset(rows, tensordict, kwargs)
            for row, result in zip(rows, results, strict=True):
                self.buffers.slots(row)[1].root.update_(result)
        else:
            self.buffers.mask[:] = selected
            self.backend.reset_masked()
        return self._first.read()

    def reset_in_place(self, tensordict: TensorDictBase) -> bool:
        """Reset the envs that are done, replacing only their rows of `tensordict`, a root.

        This is `EnvBase.reset` for the plain case, without masks and a merge of full-sized results.

        Returns:
            False, with nothing done, when the case is not plain: several flags or nested entries,
                an env whose state is in the TensorDict, an entry of another kind or shape.
        """
        if not self._is_flat:
            return False
        old = [tensordict.get(leaf.key, None) for leaf in self._first_leaves]
        for value, leaf in zip(old, self._first_leaves, strict=True):
            if not leaf.fits(value):
                return False
        mask = tensordict["done"].numpy().reshape(-1)
        self.buffers.mask[:] = mask
        self.backend.reset_masked()
        rows = mask.nonzero()[0]
        if len(rows) == 1:  # the usual case, several times faster by a slice
            rows = slice(rows[0], rows[0] + 1)
        content: dict[str, Tensor] = {}
        for value, leaf in zip(old, self._first_leaves, strict=True):
            fresh = value.numpy().copy()
            fresh[rows] = leaf.array[rows]
            content[leaf.key] = torch.from_numpy(fresh)
        if not self.allow_done_after_reset and b"\1" in self._done.tobytes():
            masks = {"_reset": tensordict["done"]}
            check_not_done(self, TensorDict(content, batch_size=self.batch_size), masks)
        # one update costs less than a set per key
        tensordict.update(content)
        return True

    def _brings_state(self, tensordict: TensorDictBase | None) -> bool:
        return (
            self.stateless
            and tensordict is not None
            and any(key in tensordict for key in self.state_keys)
        )


class StackedRows(_Rows):
    """The slow road, for non-tensor, ragged or heterogeneous data: one TensorDict per env.

    Args:
        backend: runs the envs.
        metas: what the envs are like.
        device: where results are delivered.
        uniform: whether the specs of the envs are equal.
    """

    def __init__(
        self,
        backend: Backend,
        metas: Sequence[EnvMeta],
        device: torch.device | None,
        *,
        uniform: bool,
    ) -> None:
        super().__init__(backend, metas, device)
        for group in GROUPS:
            members = [meta.specs[group] for meta in metas]
            if uniform:
                spec = members[0].expand(self.num_rows, *members[0].shape)
            else:
                spec = torch.stack(members, 0)
            self._set_spec(group, spec)
        leaves = [
            leaf for meta in metas for s in meta.specs.values() for leaf in s.values(True, True)
        ]
        self._lazy = not uniform or any(-1 in leaf.shape for leaf in leaves)

    def _join(self, results: list[TensorDictBase]) -> TensorDictBase:
        if self.device is not None:
            results = [result.to(self.device) for result in results]
        if self._lazy:
            return LazyStackedTensorDict.lazy_stack(results, 0)
        return torch.stack(results, 0)

    def _step(self, tensordict: TensorDictBase) -> TensorDictBase:
        return self._step_rows(tensordict, np.ones(self.num_rows, bool))

    def _masked_step_next(self, tensordict: TensorDictBase, mask: Tensor) -> TensorDictBase:
        return self._step_rows(tensordict, self.selected(mask))

    def _step_rows(self, tensordict: TensorDictBase, selected: np.ndarray) -> TensorDictBase:
        rows = selected.nonzero()[0].tolist()
        args = [(_detached(tensordict[row]),) for row in rows]
        stepped = dict(zip(rows, self.backend.call(rows, "step_next", args, {}), strict=True))
        return self._join(
            [
                stepped[row] if row in stepped else self._still_row(tensordict[row], row)
                for row in range(self.num_rows)
            ]
        )

    def _still_row(self, root: TensorDictBase, row: int) -> TensorDictBase:
        specs = self.metas[row].specs
        kept = root.select(*specs["observation"].keys(True, True), *specs["done"].keys(True, True))
        return kept.update(specs["reward"].zero())

    def _reset(self, tensordict: TensorDictBase | None = None, **kwargs: Any) -> TensorDictBase:
        selected, _ = self.reset_rows(tensordict)
        rows = selected.nonzero()[0].tolist()
        fresh = dict(zip(rows, self.call_reset(rows, tensordict, kwargs), strict=True))
        return self._join(
            [
                fresh[row] if row in fresh else self._kept_row(tensordict[row], row)
                for row in range(self.num_rows)
            ]
        )

    def _kept_row(self, root: TensorDictBase, row: int) -> TensorDictBase:
        """Return what a reset of the row would give anew."""
        specs = self.metas[row].specs
        groups = ("state", "observation", "done")
        given = [key for group in groups for key in specs[group].keys(True, True)]
        return root.select(*given, strict=False)


class _Leaf(NamedTuple):
    """An entry of a root and the array that a reset writes it into."""

    key: str
    array: np.ndarray
    shape: torch.Size
    dtype: torch.dtype

    @classmethod
    def of(cls, key: str, array: np.ndarray) -> _Leaf:
        tensor = torch.from_numpy(array)
        return cls(key, array, tensor.shape, tensor.dtype)

    def fits(self, value: Any) -> bool:  # noqa: ANN401
        """Tell whether an entry is a CPU tensor of this shape and dtype, without graph."""
        return (
            isinstance(value, Tensor)
            and value.shape == self.shape
            and value.dtype is self.dtype
            and value.is_cpu
            and not value.requires_grad
        )


def _detached(tensordict: TensorDictBase) -> TensorDictBase:
    """Return a copy without graph that shares nothing with the batch, fit for another process."""
    return tensordict.detach().cpu().clone()


def merged(specs: dict[str, Composite], *groups: str) -> Composite:
    """Return one Composite with the leaves of several groups."""
    result = Composite(shape=specs[groups[0]].shape)
    for group in groups:
        _merge(result, specs[group])
    return result


def _merge(target: Composite, source: Composite) -> None:
    for key, value in source.items():
        if isinstance(value, Composite):
            if key not in target:
                target[key] = Composite(shape=value.shape)
            _merge(target[key], value)
        else:
            target[key] = value


class _Reader:
    """Reads one section of the buffers into a fresh TensorDict."""

    def __init__(self, buffers: Buffers, section: str, device: torch.device | None) -> None:
        self._device = device
        self._root = _Node.tree(buffers.layout.batch_sizes[section], buffers.arrays[section])

    def read(self) -> TensorDict:
        """Return the content of the section; nothing in it shares memory with the buffers."""
        return self._root.read(self._device)


class _Node:
    """One TensorDict of a nested result: its leaves as arrays, its children as nodes."""

    def __init__(self, batch_size: tuple[int, ...]) -> None:
        self.batch_size = torch.Size(batch_size)
        self.leaves: list[tuple[str, np.ndarray]] = []
        self.children: list[tuple[str, _Node]] = []

    @classmethod
    def tree(
        cls,
        sizes: dict[tuple[str, ...], tuple[int, ...]],
        arrays: dict[tuple[str, ...], np.ndarray],
    ) -> _Node:
        nodes: dict[tuple[str, ...], _Node] = {}
        for path in sorted(sizes, key=len):
            nodes[path] = cls(sizes[path])
            if path:
                nodes[path[:-1]].children.append((path[-1], nodes[path]))
        for path, array in arrays.items():
            nodes[path[:-1]].leaves.append((path[-1], array))
        return nodes[()]

    def read(self, device: torch.device | None) -> TensorDict:
        content: dict[NestedKey, Any] = {
            name: torch.from_numpy(array.copy()) for name, array in self.leaves
        }
        for name, child in self.children:
            content[name] = child.read(device)
        return TensorDict(content, batch_size=self.batch_size, device=device)
