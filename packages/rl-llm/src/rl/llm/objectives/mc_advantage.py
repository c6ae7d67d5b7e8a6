"""`MCAdvantage`: advantages of answers relative to the other answers to the same prompt."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import torch
from tensordict import TensorDictBase, lazy_stack
from torch import Tensor

from rl.core.contract.keys import NestedKey
from rl.core.errors import MissingKeyError, RLError, ShapeError
from rl.core.transform import Transform
from rl.llm.history import History

__all__ = ["MCAdvantage", "group_advantage"]


def group_advantage(values: Tensor, epsilon: float = 1e-6) -> tuple[Tensor, bool]:
    """Return `(r - mean) / std` of the values of one group, and whether they differ at all.

    Equal values teach nothing: their advantage is exactly zero rather than rounding noise over a
    tiny deviation. The deviation is the unbiased one. GRPO, section 4.1.2 (arXiv:2402.03300).

    Example:
        >>> group_advantage(torch.tensor([0.0, 2.0]))
        (tensor([-0.7071,  0.7071]), True)
        >>> group_advantage(torch.tensor([0.1, 0.1]))
        (tensor([0., 0.]), False)
    """
    deviation = values.std()
    if not bool(deviation > epsilon):
        return torch.zeros_like(values), False
    return (values - values.mean()) / deviation, True


@dataclass(frozen=True)
class _Trajectory:
    """Rows `start` to `stop` of a batch of steps, which answer `prompt`."""

    prompt: Hashable
    start: int
    stop: int


class MCAdvantage(Transform):
    """Groups completed trajectories by prompt on their way into a buffer, with their advantages.

    Once `grpo_size` trajectories of one prompt have come, they pass with their advantage; until
    then they wait here. A batch that holds whole groups passes at once, in its order and its shape.
    What comes back may hold fewer steps than were given, or none.

    Reads:
        prompt_key: `[*B, T]`, a text, an integer or a History.
        rewards_key: `[*B, T, *F]`, F being `[1]`, `[1, 1]` or `[tokens, 1]`.
        done_key: `[*B, T, 1]` bool; every row must end with a done step.
    Writes:
        advantage_key: as the reward.

    Args:
        grpo_size: trajectories per group, at least 2.
        prompt_key: what the trajectories of a group share.
        rewards_key: the reward.
        advantage_key: the advantage.
        done_key: the end of a trajectory.
        trajectory_return: compare the sums of the rewards of trajectories and give every step its
            trajectory's advantage; otherwise compare the rewards of all steps of the group.
        keep_return_bounds: drop the groups whose mean return is not strictly between the two bounds
            (dynamic sampling, DAPO section 3.2, arXiv:2503.14476).

    Attributes:
        num_groups: groups seen complete.
        num_zero_variance_groups: those whose returns were all the same.
        num_dropped_groups: those out of bounds.

    Raises:
        RLError: `grpo_size` is less than 2.

    Example:
        >>> from tensordict import TensorDict
        >>> data = TensorDict(
        ...     {"query": ["a", "a"], "next": {"reward": torch.tensor([[0.0], [2.0]]),
        ...      "done": torch.ones(2, 1, dtype=torch.bool)}}, batch_size=[2])
        >>> MCAdvantage(grpo_size=2).inv(data)["advantage"].squeeze(-1)
        tensor([-0.7071,  0.7071])
    """

    def __init__(
        self,
        grpo_size: int,
        prompt_key: NestedKey = "query",
        rewards_key: NestedKey = ("next", "reward"),
        advantage_key: NestedKey = "advantage",
        done_key: NestedKey = ("next", "done"),
        *,
        trajectory_return: bool = True,
        keep_return_bounds: tuple[float, float] | None = None,
    ) -> None:
        super().__init__()
        if grpo_size < 2:
            raise RLError(f"`grpo_size` is {grpo_size}: an advantage compares at least 2 answers.")
        self.grpo_size = grpo_size
        self.prompt_key, self.rewards_key = prompt_key, rewards_key
        self.advantage_key, self.done_key = advantage_key, done_key
        self.trajectory_return = trajectory_return
        self.keep_return_bounds = keep_return_bounds
        self.num_groups = self.num_zero_variance_groups = self.num_dropped_groups = 0
        self._waiting: dict[Hashable, list[TensorDictBase]] = defaultdict(list)

    @property
    def num_waiting(self) -> int:
        """Trajectories that wait for the rest of their group."""
        return sum(map(len, self._waiting.values()))

    def _call(self, next_tensordict: TensorDictBase) -> TensorDictBase:
        """Leave what a buffer samples as it is."""
        return next_tensordict

    def _inv_call(self, tensordict: TensorDictBase) -> TensorDictBase:
        steps = tensordict.reshape(-1)
        groups: dict[Hashable, list[_Trajectory]] = defaultdict(list)
        for trajectory in self._trajectories(tensordict, steps):
            groups[trajectory.prompt].append(trajectory)
        whole = all(len(group) % self.grpo_size == 0 for group in groups.values())
        if whole and not self._waiting.keys() & groups.keys():
            return self._pass_whole(tensordict, steps, groups)
        return self._pass_waiting(steps, groups)

    def _pass_whole(
        self,
        tensordict: TensorDictBase,
        steps: TensorDictBase,
        groups: dict[Hashable, list[_Trajectory]],
    ) -> TensorDictBase:
        reward = steps.get(self.rewards_key)
        advantage = torch.zeros_like(reward)
        keep = torch.ones(steps.shape[0], dtype=torch.bool)
        for group in groups.values():
            for chunk in _chunks(group, self.grpo_size):
                rewards = [reward[t.start : t.stop] for t in chunk]
                advantages, kept = self._advantages(rewards)
                for trajectory, value in zip(chunk, advantages, strict=True):
                    advantage[trajectory.start : trajectory.stop] = value
                    keep[trajectory.start : trajectory.stop] = kept
        steps = steps.set(self.advantage_key, advantage)
        return steps.reshape(tensordict.shape) if bool(keep.all()) else steps[keep]

    def _pass_waiting(
        self, steps: TensorDictBase, groups: dict[Hashable, list[_Trajectory]]
    ) -> TensorDictBase:
        passed: list[TensorDictBase] = []
        for prompt, group in groups.items():
            queue = self._waiting[prompt]
            queue.extend(steps[t.start : t.stop].clone() for t in group)
            while len(queue) >= self.grpo_size:
                chunk, queue[:] = queue[: self.grpo_size], queue[self.grpo_size :]
                advantages, kept = self._advantages([t.get(self.rewards_key) for t in chunk])
                for trajectory, value in zip(chunk, advantages, strict=True):
                    trajectory.set(self.advantage_key, value)
                passed.extend(step for t in chunk if kept for step in t.unbind(0))
            if not queue:
                del self._waiting[prompt]
        if passed:
            # texts of different batches may be padded to different lengths
            same = all(_shapes(step) == _shapes(passed[0]) for step in passed[1:])
            return torch.stack(passed) if same else lazy_stack(passed)
        empty = steps[:0]
        return empty.set(self.advantage_key, torch.zeros_like(empty.get(self.rewards_key)))

    def _advantages(self, rewards: list[Tensor]) -> tuple[list[Tensor], bool]:
        """Return the advantages of one group, shaped as its rewards, and whether to keep it."""
        returns = torch.stack([reward.sum() for reward in rewards])
        if self.trajectory_return:
            value, differs = group_advantage(returns)
            advantages = [v.expand_as(r) for v, r in zip(value, rewards, strict=True)]
        else:
            value, differs = group_advantage(torch.cat([reward.flatten() for reward in rewards]))
            sizes = [reward.numel() for reward in rewards]
            parts = zip(value.split(sizes), rewards, strict=True)
            advantages = [part.reshape(reward.shape) for part, reward in parts]
        self.num_groups += 1
        self.num_zero_variance_groups += not differs
        bounds = self.keep_return_bounds
        kept = bounds is None or bounds[0] < float(returns.mean()) < bounds[1]
        self.num_dropped_groups += not kept
        return advantages, kept

    # ---------------------------------------------------------------- reading

    def _trajectories(self, tensordict: TensorDictBase, steps: TensorDictBase) -> list[_Trajectory]:
        if tensordict.ndim == 0:
            raise ShapeError(
                "`MCAdvantage` was given one step without a batch dimension, expected [*B, T]: "
                "`extend` the buffer with completed trajectories instead of adding steps."
            )
        for key in (self.prompt_key, self.rewards_key, self.done_key):
            if steps.get(key, None) is None:
                raise MissingKeyError(
                    f"`MCAdvantage` reads `{key}`, which is not there: pass `prompt_key=`, "
                    "`rewards_key=` or `done_key=`."
                )
        time = tensordict.shape[-1]
        done = steps.get(self.done_key).reshape(-1, time)
        if done.numel() and not bool(done[:, -1].all()):
            raise ShapeError(
                f"A row of the batch does not end with `{self.done_key}`: only whole trajectories "
                "have a return. Collect completed ones (`yield_completed_trajectories=True`)."
            )
        stops = (done.reshape(-1).nonzero().squeeze(-1) + 1).tolist()
        starts = [0, *stops[:-1]] if stops else []
        prompts = steps.get(self.prompt_key)
        return [
            _Trajectory(_name(prompts[start]), start, stop)
            for start, stop in zip(starts, stops, strict=True)
        ]


def _shapes(step: TensorDictBase) -> dict[NestedKey, torch.Size]:
    return {key: value.shape for key, value in step.items(True, True) if isinstance(value, Tensor)}


def _name(prompt: Any) -> Hashable:  # noqa: ANN401
    """Return something hashable that is equal for equal prompts."""
    if isinstance(prompt, Tensor):
        return (tuple(prompt.shape), *prompt.flatten().tolist())
    if isinstance(prompt, History):
        return repr(prompt.to_chats())
    data = getattr(prompt, "data", prompt)
    return data if isinstance(data, Hashable) else repr(data)


def _chunks(group: list[_Trajectory], size: int) -> list[list[_Trajectory]]:
    return [group[start : start + size] for start in range(0, len(group), size)]
