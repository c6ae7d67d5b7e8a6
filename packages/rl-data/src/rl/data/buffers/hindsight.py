"""Hindsight experience replay: transitions told again, with a goal that was reached."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

import numpy as np
import torch
from tensordict import TensorDictBase
from tensordict.utils import NestedKey
from torch import Tensor

from rl.core.contract.keys import in_next, unravel_key
from rl.core.errors import MissingKeyError, ShapeError, SpecError, nearest
from rl.data.buffers.tensordict_buffer import TensorDictReplayBuffer
from rl.data.trajectories.boundaries import Boundaries
from rl.data.trajectories.index import TrajectoryIndex
from rl.data.transforms.trajectories import TRAJ_KEY

__all__ = ["HERReplayBuffer", "HindsightStrategy"]

_DRAWN = "_hindsight"


class HindsightStrategy(Enum):
    """From which later state the goal of a transition is taken.

    Example:
        >>> HindsightStrategy("future") is HindsightStrategy.FUTURE
        True
    """

    #: a state of the same episode, reached by this step or a later one
    FUTURE = "future"
    #: the last state of the same episode
    FINAL = "final"
    #: any state of the same episode
    EPISODE = "episode"
    #: any state in the buffer
    RANDOM = "random"


class HERReplayBuffer(TensorDictReplayBuffer):
    """A buffer whose batches pretend, for some transitions, that a state reached was the goal.

    Andrychowicz et al., 2017, section 3 and 4.5. Of each batch, `her_ratio` of the transitions,
    drawn at random, get another goal; their reward is computed anew. The rows themselves, flags
    included, stay as they were stored. Goals never come from another episode, nor from beyond the
    oldest or newest row, except with `"random"`. Episodes that are still going on count as far as
    they are stored. With several envs, use a storage with `ndim=2`, or keep
    `("collector", "traj_ids")` in the data.

    Args:
        reward_fn: takes the transitions with their new goal, `[n]`, and returns rewards, `[n, 1]`
            or `[n]`.
        her_ratio: share of transitions with another goal, 0 to 1.
        strategy: a `HindsightStrategy` or its name.
        goal_key: the goal; the entry of the same name below `"next"` is replaced too, if stored.
        achieved_goal_key: what was achieved. The state that a step reached is that below `"next"`
            if stored, else that at the root.
        reward_key: the reward that is computed.
        end_key: the flag that ends an episode.
        sampler: draws the transitions; `RandomSampler()` by default.
        kwargs: see `TensorDictReplayBuffer`.

    Raises:
        SpecError: `her_ratio` is not within 0 and 1, or there is no such strategy.

    Example:
        >>> from tensordict import TensorDict
        >>> from rl.data import HERReplayBuffer, LazyTensorStorage
        >>> def reward_fn(td):
        ...     return (td["next", "achieved_goal"] == td["desired_goal"]).float()
        >>> rb = HERReplayBuffer(
        ...     reward_fn, her_ratio=1.0, strategy="final", storage=LazyTensorStorage(9)
        ... )
        >>> state = torch.arange(4.0).unsqueeze(-1)
        >>> data = {"achieved_goal": state[:3], "desired_goal": torch.full((3, 1), 99.0)}
        >>> end = torch.tensor([[False], [False], [True]])
        >>> step = {"achieved_goal": state[1:], "reward": torch.zeros(3, 1), "done": end}
        >>> index = rb.extend(TensorDict({**data, "next": step}, [3]))
        >>> rb.sample(2)["desired_goal"].flatten()
        tensor([3., 3.])
    """

    relabels = True

    def __init__(
        self,
        reward_fn: Callable[[TensorDictBase], Tensor],
        *,
        her_ratio: float = 0.8,
        strategy: HindsightStrategy | str = HindsightStrategy.FUTURE,
        goal_key: NestedKey = "desired_goal",
        achieved_goal_key: NestedKey = "achieved_goal",
        reward_key: NestedKey = ("next", "reward"),
        end_key: NestedKey = ("next", "done"),
        sampler: Any = None,  # noqa: ANN401 (as in `ReplayBuffer`)
        **kwargs: Any,
    ) -> None:
        if not 0 <= her_ratio <= 1:
            raise SpecError(f"`her_ratio` is {her_ratio}, expected a share from 0 to 1.")
        names = [member.value for member in HindsightStrategy]
        if isinstance(strategy, str) and strategy not in names:
            raise SpecError(f"There is no strategy `{strategy}`. {nearest(strategy, names)}")
        self._index = TrajectoryIndex(Boundaries(TRAJ_KEY, end_key, both=True))
        super().__init__(sampler=sampler, **kwargs)
        self.reward_fn = reward_fn
        self.her_ratio = her_ratio
        self.strategy = HindsightStrategy(strategy)
        self.goal_key = goal_key
        self.achieved_goal_key = achieved_goal_key
        self.reward_key = reward_key
        self.end_key = end_key

    # the index of trajectories hears what the sampler hears

    def _connect(self) -> None:
        super()._connect()
        self._index.reset(self._storage.newest)

    def _take_parts(self, state: dict[str, Any]) -> None:
        super()._take_parts(state)
        self._index.reset(self._storage.newest)

    def _written(self, elements: Tensor) -> None:
        super()._written(elements)
        self._index.extend(self._storage, elements.numpy())

    def _overwritten(self, elements: Tensor) -> None:
        super()._overwritten(elements)
        self._index.mark(self._storage, elements.reshape(-1).numpy())

    def _edited(self) -> None:
        super()._edited()
        self._index.reread()

    def _emptied(self) -> None:
        super()._emptied()
        self._index.reset()

    # draws of goals are part of the draw, so that prefetching stays exact

    def _draw(self, batch_size: int) -> tuple[Any, dict[str, Any]]:
        index, told = super()._draw(batch_size)
        elements = self._storage.ravel(index).reshape(-1).cpu()
        count = round(self.her_ratio * len(elements))
        chosen = torch.randperm(len(elements), generator=self._sampler.generator)[:count]
        goals = self._choose(elements[chosen])
        return index, {**told, _DRAWN: (chosen, goals)}

    def _fetch(self, draw: tuple[Any, dict[str, Any]]) -> Any:  # noqa: ANN401
        data = super()._fetch(draw)
        chosen, elements = draw[1][_DRAWN]
        achieved = self._achieved(elements)
        flat = data.reshape(-1)
        for key in (self.goal_key, in_next(self.goal_key)):
            goal = flat.get(key, None)
            if goal is None:
                if key == self.goal_key:
                    raise MissingKeyError(
                        f"`{key}` is not stored; the batch has "
                        f"{sorted(map(str, data.keys(True, True)))}. Pass `goal_key=...`."
                    )
                continue
            if goal.shape[1:] != achieved.shape[1:]:
                raise ShapeError(
                    f"`{key}` has shape {list(goal.shape[1:])} per row, what was achieved "
                    f"{list(achieved.shape[1:])}: a goal is an achieved state of the same kind."
                )
            goal = goal.index_put((chosen.to(goal.device),), achieved.to(goal))
            data.set(key, goal.reshape(*data.shape, *goal.shape[1:]))
        return data

    def _annotate(self, data: Any, info: dict[str, Any]) -> Any:  # noqa: ANN401
        chosen, _ = info.pop(_DRAWN)
        data = super()._annotate(data, info)
        if not len(chosen):
            return data
        flat = data.reshape(-1)
        reward = flat.get(self.reward_key)
        new = torch.as_tensor(self.reward_fn(flat[chosen.to(reward.device)]))
        if new.shape not in ((len(chosen), *reward.shape[1:]), (len(chosen),)):
            raise ShapeError(
                f"`reward_fn` returned shape {list(new.shape)}, expected "
                f"{[len(chosen), *reward.shape[1:]]}: one reward per transition."
            )
        new = new.reshape(len(chosen), *reward.shape[1:]).to(reward)
        reward = reward.index_put((chosen.to(reward.device),), new)
        return data.set(self.reward_key, reward.reshape(*data.shape, *reward.shape[1:]))

    def _achieved(self, elements: Tensor) -> Tensor:
        """Return the states that the steps of elements reached, `[n, ...]`."""
        for key in (in_next(self.achieved_goal_key), self.achieved_goal_key):
            achieved = self._storage.entry(unravel_key(key), elements)
            if achieved is not None:
                return achieved
        raise MissingKeyError(
            f"`{self.achieved_goal_key}` is not stored, neither at the root nor below `next`. "
            "Pass `achieved_goal_key=...`."
        )

    def _choose(self, elements: Tensor) -> Tensor:
        """Draw the element whose achieved state becomes the goal of each element."""
        generator, count = self._sampler.generator, len(elements)
        if self.strategy is HindsightStrategy.RANDOM:
            return torch.randint(len(self._storage), (count,), generator=generator)
        index = self._index
        index.refresh(self._storage)
        here = index.positions(elements.numpy())
        last = index.last_of(here)
        if self.strategy is HindsightStrategy.FINAL:
            return torch.from_numpy(index.elements(last))
        size = index.length_of(last)
        place = size - 1 - (last - here) % index.used
        first = np.zeros_like(place) if self.strategy is HindsightStrategy.EPISODE else place
        share = torch.rand(count, dtype=torch.float64, generator=generator).numpy()
        goal = first + (share * (size - first)).astype(np.int64)
        return torch.from_numpy(index.elements(index.step(last, goal - size + 1)))
