"""Small envs with known numbers, for tests of envs, transforms, collectors and policies."""

from __future__ import annotations

from typing import Any

import torch
from tensordict import TensorDict, TensorDictBase

from rl.core import Binary, Categorical, Composite, NonTensor, OneHot, Unbounded
from rl.envs.base import EnvBase

__all__ = ["CountingEnv", "NestedCountingEnv", "StringEnv", "WideCountingEnv"]


class CountingEnv(EnvBase):
    """Counts its steps and ends at `max_steps`; the observation is the count, the reward is 1.

    Args:
        max_steps: length of an episode.
        batch_size: batch dims.
        categorical: integer actions instead of one-hot ones.
        device: where data is delivered.

    Example:
        >>> CountingEnv(max_steps=3).rollout(5)["next", "observation"].flatten()
        tensor([1., 2., 3.])
    """

    def __init__(
        self,
        max_steps: int = 5,
        *,
        batch_size: tuple[int, ...] = (),
        categorical: bool = False,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__(batch_size=batch_size, device=device)
        self.max_steps = max_steps
        shape = self.batch_size
        self.observation_spec = Composite(observation=Unbounded((*shape, 1)), shape=shape)
        self.action_spec = (
            Categorical(2, shape=shape) if categorical else OneHot(2, shape=(*shape, 2))
        )
        flag = Binary(1, shape=(*shape, 1), dtype=torch.bool)
        self.done_spec = Composite(
            done=flag, terminated=flag.clone(), truncated=flag.clone(), shape=shape
        )
        self.register_buffer("count", torch.zeros((*shape, 1), device=device))

    def _reset(self, tensordict: TensorDictBase | None = None, **kwargs: Any) -> TensorDictBase:
        mask = None if tensordict is None else tensordict.get("_reset", None)
        if mask is None:
            self.count = torch.zeros_like(self.count)
        else:
            self.count = self.count.masked_fill(mask.reshape(self.count.shape), 0.0)
        return self._make({"observation": self.count.clone()})

    def _step(self, tensordict: TensorDictBase) -> TensorDictBase:
        self.count = self.count + 1
        over = self.count >= self.max_steps
        return self._make(
            {
                "observation": self.count.clone(),
                "reward": torch.ones_like(self.count),
                "done": over,
                "terminated": over.clone(),
                "truncated": torch.zeros_like(over),
            }
        )

    def _make(self, leaves: dict[str, Any]) -> TensorDictBase:
        return TensorDict(leaves, batch_size=self.batch_size, device=self.device)

    def _set_seed(self, seed: int | None) -> None:
        pass

    def resume_state(self) -> dict[str, Any]:
        """Return the count."""
        return {"count": self.count.clone()}

    def load_resume_state(self, state: dict[str, Any]) -> None:
        """Restore the count."""
        self.count = state["count"].clone()


class NestedCountingEnv(CountingEnv):
    """A `CountingEnv` whose entries lie in a group of `num_agents`, each with its own reward.

    Args:
        max_steps: length of an episode.
        num_agents: size of the group's own batch dim.
        batch_size: batch dims.

    Example:
        >>> NestedCountingEnv(num_agents=2).rollout(3)["next", "agents", "reward"].shape
        torch.Size([3, 2, 1])
    """

    def __init__(
        self, max_steps: int = 5, *, num_agents: int = 3, batch_size: tuple[int, ...] = ()
    ) -> None:
        super().__init__(max_steps, batch_size=batch_size)
        self.num_agents = num_agents
        shape, inner = self.batch_size, (*self.batch_size, num_agents)
        self.observation_spec = self._group(observation=Unbounded((*inner, 1)))
        self.action_spec = self._group(action=OneHot(2, shape=(*inner, 2)))
        self.reward_spec = self._group(reward=Unbounded((*inner, 1)))
        self.done_spec = Composite(done=Binary(1, shape=(*shape, 1), dtype=torch.bool), shape=shape)

    def _group(self, **leaves: Any) -> Composite:
        inner = (*self.batch_size, self.num_agents)
        return Composite(agents=Composite(**leaves, shape=inner), shape=self.batch_size)

    def _make(self, leaves: dict[str, Any]) -> TensorDictBase:
        inner = (*self.batch_size, self.num_agents)
        group = TensorDict({}, batch_size=inner, device=self.device)
        root = TensorDict({}, batch_size=self.batch_size, device=self.device)
        for key, value in leaves.items():
            if key in ("observation", "reward"):
                group.set(key, value.unsqueeze(-2).expand(*inner, 1).clone())
            elif key != "truncated":
                root.set(key, value)
        return root.set("agents", group)


class StringEnv(CountingEnv):
    """A `CountingEnv` that also writes a string, which takes the slower road of non-tensor data.

    Example:
        >>> list(StringEnv(max_steps=2).rollout(5)["next", "text"])
        ['step 1', 'step 2']
    """

    def __init__(self, max_steps: int = 5) -> None:
        super().__init__(max_steps)
        self.observation_spec = Composite(
            observation=Unbounded((1,)), text=NonTensor(example_data="step 0")
        )

    def _make(self, leaves: dict[str, Any]) -> TensorDictBase:
        made = super()._make(leaves)
        return made.set_non_tensor("text", f"step {int(leaves['observation'].item())}")


class WideCountingEnv(CountingEnv):
    """A `CountingEnv` whose observation repeats the count `width` times.

    Args:
        width: size of the observation.
        max_steps: length of an episode.

    Example:
        >>> WideCountingEnv(2).rollout(1)["next", "observation"]
        tensor([[1., 1.]])
    """

    def __init__(self, width: int, max_steps: int = 5) -> None:
        super().__init__(max_steps)
        self.width = width
        self.observation_spec = Composite(observation=Unbounded((width,)))

    def _make(self, leaves: dict[str, Any]) -> TensorDictBase:
        wide = leaves["observation"].expand(self.width).clone()
        return super()._make({**leaves, "observation": wide})
