"""n-step transitions, made while a buffer is written."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from tensordict import TensorDictBase
from torch import Tensor

from rl.core.contract.keys import NestedKey, in_next
from rl.core.errors import RLError, ShapeError
from rl.core.specs import Composite
from rl.data.transforms.memory import WriteMemory
from rl.data.transforms.multi_step import NStepRule, checked_steps
from rl.data.transforms.n_step import steps_ahead
from rl.data.transforms.trajectories import TRAJ_KEY, any_feature, time_dimension

__all__ = ["MultiStepTransform"]


class MultiStepTransform(WriteMemory):
    """Turn transitions into n-step transitions on the way into a buffer.

    Steps whose return is not complete yet wait in the transform for the next `extend`, so that the
    result does not depend on how a stream of steps is cut into batches. See `MultiStep` for what a
    transition then holds.

    - Data `[*B, T]` of several envs: the last `n_steps - 1` steps of each env wait. The buffer
      must number both dimensions (`LazyTensorStorage(size, ndim=2)`).
    - Data `[T]`: a step waits only if its trajectory may go on, those of finished trajectories are
      written at once. With `("collector", "traj_ids")` the steps of several envs may come one after
      the other: each waits for the next steps of its own trajectory.

    The last steps of a collection, up to `n_steps - 1` of each env, are never written.

    Args:
        n_steps: n, at least 1.
        gamma: discount.
        reward_keys: rewards to sum, below `"next"`; `["reward"]` by default.
        done_key: the flag that ends a trajectory; `"done"` by default.
        done_keys: flags; `done_key`, `truncated` and `terminated` beside it by default.
        mask_key: the mask of padded trajectories; `("collector", "mask")` or `"mask"` where the
            data have one, by default.

    Raises:
        SpecError: `n_steps` is not a positive whole number.

    Example:
        >>> from tensordict import TensorDict
        >>> from rl.data import LazyTensorStorage, TensorDictReplayBuffer
        >>> rb = TensorDictReplayBuffer(
        ...     storage=LazyTensorStorage(9), transform=MultiStepTransform(n_steps=2, gamma=0.5)
        ... )
        >>> flags = torch.zeros(3, 1, dtype=torch.bool)
        >>> step = {"reward": torch.ones(3, 1), "done": flags, "terminated": flags}
        >>> index = rb.extend(TensorDict({"next": step}, [3]))
        >>> len(rb), rb[:]["next", "reward"].flatten()
        (2, tensor([1.5000, 1.5000]))
    """

    in_order = True

    def __init__(
        self,
        n_steps: int,
        gamma: float,
        *,
        reward_keys: Iterable[NestedKey] | None = None,
        done_key: NestedKey | None = None,
        done_keys: Iterable[NestedKey] | None = None,
        mask_key: NestedKey | None = None,
    ) -> None:
        super().__init__()
        self._rule = NStepRule(n_steps, gamma, reward_keys, done_key, done_keys, mask_key)

    @property
    def n_steps(self) -> int:
        """The number of steps; it may be set, and holds for the rows that are written from then."""
        return self._rule.n_steps

    @n_steps.setter
    def n_steps(self, value: int) -> None:
        self._rule.n_steps = checked_steps(value)

    @property
    def gamma(self) -> float:
        """The discount."""
        return self._rule.gamma

    def _inv_call(self, tensordict: TensorDictBase) -> TensorDictBase:
        dim = time_dimension(tensordict, "MultiStepTransform")
        if tensordict.ndim > 1:
            return self._several(tensordict, dim)
        return self._flat(tensordict)

    def _several(self, data: TensorDictBase, dim: int) -> TensorDictBase:
        joined = self._join(data, dim)
        kept = min(self.n_steps - 1, joined.shape[dim])
        count = joined.shape[dim] - kept
        self.memory = _narrow(joined, dim, count, kept).clone() if kept else None
        return _narrow(self._rule(joined, self._rule.ends(joined, dim), dim), dim, 0, count)

    def _flat(self, data: TensorDictBase) -> TensorDictBase:
        joined = self._join(data, 0)
        ids = joined.get(TRAJ_KEY, None)
        order = None
        if ids is not None:
            # the steps of each trajectory become neighbours, in the order in which they came
            order = (ids if ids.ndim == 1 else ids.flatten(1)[:, 0]).argsort(stable=True)
            joined = joined[order]
        ends = self._rule.ends(joined, 0)
        result = self._rule(joined, ends, 0)
        complete = self._complete(joined, ends)
        self.memory = joined[~complete].clone()
        if order is None:
            return result[complete]
        arrival = order[complete].argsort()
        return result[complete][arrival]

    def _complete(self, data: TensorDictBase, ends: Tensor) -> Tensor:
        """Return which returns no later step can change, `[T]` bool."""
        steps = steps_ahead(ends, self.n_steps, 0)
        last = torch.arange(len(ends), device=ends.device) + steps - 1
        done = any_feature(data.get(in_next(self._rule.done_key)), 1)
        return (steps == self.n_steps) | done[last]

    def _join(self, data: TensorDictBase, dim: int) -> TensorDictBase:
        """Return what waits, followed by the data."""
        memory = self.memory
        if memory is None or not memory.numel():
            return data
        before, now = list(memory.shape), list(data.shape)
        before[dim] = now[dim] = -1
        if before != now:
            raise ShapeError(
                f"The data have batch size {list(data.shape)}, those written before had "
                f"{before} (-1: time), whose last steps still wait for the steps that follow: give "
                "the same envs at each `extend`, or call `transform.reset()` to forget those steps."
            )
        mine, theirs = set(memory.keys(True, True)), set(data.keys(True, True))
        if mine != theirs:
            raise ShapeError(
                f"The data differ from those written before in the keys "
                f"{sorted(map(str, mine ^ theirs))}: give the same keys at each `extend`."
            )
        return torch.cat([memory, data], dim)

    def transform_output_spec(self, output_spec: Composite) -> Composite:
        """Refuse to work in an env.

        Raises:
            RLError: always.
        """
        raise RLError(
            "`MultiStepTransform` looks ahead and works on the way into a buffer: give it to "
            "`ReplayBuffer(transform=...)`."
        )


def _narrow(data: TensorDictBase, dim: int, start: int, length: int) -> TensorDictBase:
    return data[(*[slice(None)] * dim, slice(start, start + length))]
