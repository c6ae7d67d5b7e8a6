"""`BatchedEnvBase`: what `SerialEnv` and `ParallelEnv` share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from tensordict import TensorDictBase
from torch import Tensor

from rl.core import RLError
from rl.core.seeding import seed_generator
from rl.envs.base import EnvBase
from rl.envs.transformed import TransformedEnv
from rl.envs.vector.backend import Backend
from rl.envs.vector.group import GROUPS
from rl.envs.vector.hoisting import common_transform
from rl.envs.vector.makers import makers_of
from rl.envs.vector.rows import BufferedRows, rows_of

__all__ = ["BatchedEnvBase", "RowView"]

EnvMaker = Callable[..., EnvBase]


class BatchedEnvBase(EnvBase):
    """Several envs as one, with a leading batch dim.

    Args:
        num_workers: the number of envs.
        create_env_fn: builds one env; or a list with one function per env.
        backend: builds what runs the envs, given one function per env.
        create_env_kwargs: keyword arguments of `create_env_fn`; or a list with a dict per env.
        device: where results are delivered.
        hoist_transforms: run one transform on the batch when all envs wear the same, if it can.

    Raises:
        RLError: the number of functions or of dicts is not `num_workers`.

    Example:
        >>> from rl.envs import PendulumEnv, SerialEnv
        >>> env = SerialEnv(2, PendulumEnv)
        >>> isinstance(env, BatchedEnvBase), env.batch_size
        (True, torch.Size([2]))
    """

    def __init__(
        self,
        num_workers: int,
        create_env_fn: EnvMaker | Sequence[EnvMaker],
        backend: Callable[[list[Callable[[], EnvBase]]], Backend],
        *,
        create_env_kwargs: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        device: torch.device | str | int | None = None,
        hoist_transforms: bool = True,
    ) -> None:
        makers = makers_of(num_workers, create_env_fn, create_env_kwargs)
        running = backend(makers)
        try:
            inner = _assemble(
                running, None if device is None else torch.device(device), hoist_transforms
            )
            super().__init__(
                device=device,
                batch_size=inner.batch_size,
                allow_done_after_reset=inner.allow_done_after_reset,
            )
        except BaseException:
            running.close()
            raise
        self.num_workers = num_workers
        self.backend = running
        # kept out of the registry of submodules: a state dict has the state of each env, once
        self.__dict__["_inner"] = inner
        for group in GROUPS:
            self._set_spec(group, getattr(inner, f"full_{group}_spec"))

    # --------------------------------------------------------- step and reset

    def _step(self, tensordict: TensorDictBase) -> TensorDictBase:
        return self._inner._step(tensordict)

    def _masked_step_next(self, tensordict: TensorDictBase, mask: Tensor) -> TensorDictBase:
        return self._inner._masked_step_next(tensordict, mask)

    def _reset(self, tensordict: TensorDictBase | None = None, **kwargs: Any) -> TensorDictBase:
        return self._inner.reset_root(tensordict, **kwargs)

    def _reset_in_place(self, tensordict: TensorDictBase) -> bool:
        # the quick road is there when neither a transform nor a subclass is in between
        inner = self._inner
        plain = isinstance(inner, BufferedRows) and type(self).reset is EnvBase.reset
        return plain and inner.reset_in_place(tensordict)

    # ------------------------------------------------------------------ seeds

    def set_seed(self, seed: int | None = None, static_seed: bool = False) -> int | None:
        """Give each env a seed of the chain that starts at `seed`; return the seed after the last.

        Args:
            seed: the seed of the first env.
            static_seed: give every env `seed` itself, and return it.
        """
        seeds, following = self._chain(seed, static_seed)
        args = [(each, static_seed) for each in seeds]
        self.backend.call(range(self.num_workers), "set_seed", args, {})
        if seed is not None:
            torch.manual_seed(seed)
        return following

    def _chain(self, seed: int | None, static: bool) -> tuple[list[int | None], int | None]:
        seeds, following = [], seed
        for _ in range(self.num_workers):
            seeds.append(following)
            if following is not None and not static:
                following = seed_generator(following)
        return seeds, following

    def _set_seed(self, seed: int | None) -> None:
        self.set_seed(seed)

    # ------------------------------------------------------ the envs themselves

    def __len__(self) -> int:
        return self.num_workers

    def __iter__(self) -> Iterator[Any]:
        return (self[index] for index in range(self.num_workers))

    def __getitem__(self, index: int) -> Any:  # noqa: ANN401
        """Return a view of one env: its attributes and methods, wherever it runs."""
        if not -self.num_workers <= index < self.num_workers:
            raise IndexError(f"There is no env {index}: the vector env has {self.num_workers}.")
        return RowView(self.backend, [index % self.num_workers], single=True)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        try:
            return super().__getattr__(name)
        except AttributeError:
            backend = self.__dict__.get("backend")
            if backend is None or name.startswith("_"):
                raise
            return getattr(RowView(backend, list(range(self.num_workers)), single=False), name)

    # ----------------------------------------------------------------- state

    def state_dict(self, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """Return the state of the hoisted transform, and of each env under `"worker{i}"`."""
        rows = range(self.num_workers)
        states = self.backend.call(rows, "state_dict", [()] * len(rows), kwargs)
        result: dict[str, Any] = {f"worker{row}": state for row, state in enumerate(states)}
        if isinstance(self._inner, TransformedEnv):
            result["transform"] = self._inner.transform.state_dict()
        return result

    def load_state_dict(self, state_dict: Mapping[str, Any], **kwargs: Any) -> None:  # type: ignore[override]
        """Load what `state_dict` returned.

        Raises:
            RLError: the state is of another number of envs.
        """
        rows = range(self.num_workers)
        missing = [row for row in rows if f"worker{row}" not in state_dict]
        if missing:
            raise RLError(
                f"The state dict has no `worker{missing[0]}`: it holds {sorted(state_dict)}, the "
                f"vector env has {self.num_workers} envs. Build it with as many as were saved."
            )
        args = [(state_dict[f"worker{row}"],) for row in rows]
        self.backend.call(rows, "load_state_dict", args, kwargs)
        if isinstance(self._inner, TransformedEnv):
            self._inner.transform.load_state_dict(state_dict["transform"])

    def resume_state(self) -> dict[str, Any]:
        """Return the resume state of each env, and the state of the hoisted transform."""
        rows = range(self.num_workers)
        states = self.backend.call(rows, "resume_state", [()] * len(rows), {})
        result: dict[str, Any] = {f"worker{row}": state for row, state in enumerate(states)}
        if isinstance(self._inner, TransformedEnv):
            result["transform"] = dict(self._inner.transform.state_dict())
        return result

    def load_resume_state(self, state: dict[str, Any]) -> None:
        """Restore each env, and the hoisted transform."""
        rows = range(self.num_workers)
        args = [(state[f"worker{row}"],) for row in rows]
        self.backend.call(rows, "load_resume_state", args, {})
        if isinstance(self._inner, TransformedEnv):
            self._inner.transform.load_state_dict(state["transform"])

    def to(self, device: Any) -> BatchedEnvBase:  # noqa: ANN401 (what `torch.device` takes)
        """Deliver data on `device` from now on; the envs stay where they are."""
        self._inner.to(device)
        super().to(device)
        return self

    def close(self, **kwargs: Any) -> None:
        """Close every env; closing twice is harmless."""
        if not self.is_closed:
            self.backend.close()
        super().close(**kwargs)

    def __repr__(self) -> str:
        size = list(self.batch_size)
        return f"{type(self).__name__}(num_workers={self.num_workers}, batch_size={size})"


def _assemble(backend: Backend, device: torch.device | None, hoist: bool) -> EnvBase:
    """Return the batch of envs, with the transform that they share on the outside."""
    transform = common_transform([meta.transform for meta in backend.metas]) if hoist else None
    metas = backend.metas if transform is None else backend.strip()
    sizes = {meta.batch_size for meta in metas}
    if len(sizes) > 1:
        raise RLError(
            f"The envs have batch sizes {sorted(map(list, sizes))}, which do not stack: build them "
            "with one batch size."
        )
    rows = rows_of(backend, metas, device)
    if transform is None:
        return rows
    # what the transform took from the specs of one env, it takes anew from those of the batch
    transform.transform_output_spec(rows.output_spec.clone())
    return TransformedEnv(rows, transform)


class RowView:
    """Attributes and methods of some envs of a vector env.

    Args:
        backend: runs the envs.
        rows: the envs.
        single: give the value of one env, instead of the list of all.
    """

    def __init__(self, backend: Backend, rows: list[int], *, single: bool) -> None:
        self._backend = backend
        self._rows = rows
        self._single = single

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        if name.startswith("__"):
            raise AttributeError(name)
        found = self._backend.read(self._rows, name)
        if any(attribute.kind == "missing" for attribute in found):
            raise AttributeError(f"The envs have no attribute `{name}`.")
        if any(attribute.kind == "method" for attribute in found):
            return _Call(self._backend, self._rows, name, self._single)
        values = [attribute.value for attribute in found]
        return values[0] if self._single else values


class _Call:
    """A method of some envs: called on each, it returns the list of results."""

    def __init__(self, backend: Backend, rows: list[int], name: str, single: bool) -> None:
        self._backend, self._rows, self._name, self._single = backend, rows, name, single

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        results = self._backend.call(self._rows, self._name, [args] * len(self._rows), kwargs)
        return results[0] if self._single else results
