"""Toy envs whose every number is known: the count of steps since the reset is all their state."""

import pytest
import torch
from tensordict import TensorDict

from rl.core import Binary, Bounded, Categorical, Composite, OneHot, Unbounded
from rl.envs.base import EnvBase


class Counting(EnvBase):
    """After c steps: observation c * (1, 2, 3), pixels 10 c + channel, reward c."""

    def __init__(self, batch_size=(), length=100):
        super().__init__(batch_size=batch_size)
        b = tuple(batch_size)
        self.length = length
        self.observation_spec = Composite(
            observation=Unbounded((*b, 3)),
            position=Bounded(-1.0, 1.0, (*b, 2)),
            double=Unbounded((*b, 2), dtype=torch.float64),
            pixels=Bounded(0, 255, (*b, 8, 6, 3), dtype=torch.uint8),
            nested=Composite(value=Unbounded((*b, 2)), shape=b),
            shape=b,
        )
        self.action_spec = OneHot(4, shape=(*b, 4))
        self.reward_spec = Unbounded((*b, 1))
        self.done_spec = Composite(
            {
                name: Binary(shape=(*b, 1), dtype=torch.bool)
                for name in ("done", "terminated", "truncated")
            },
            shape=b,
        )
        self.count = torch.zeros(*b, 1, dtype=torch.int64)

    def _observe(self):
        c = self.count.float()
        b = self.batch_size
        channel = torch.arange(3, dtype=torch.int64)
        image = (10 * self.count[..., None, None] + channel) % 256
        return TensorDict(
            {
                "observation": c * torch.tensor([1.0, 2.0, 3.0]),
                "position": torch.cat([c, -c], -1) / self.length,
                "double": torch.cat([c, c + 1], -1).double(),
                "pixels": image.expand(*b, 8, 6, 3).to(torch.uint8),
                "nested": TensorDict({"value": torch.cat([c, -c], -1)}, b),
            },
            b,
        )

    def _reset(self, tensordict=None, **kwargs):
        mask = None if tensordict is None else tensordict.get("_reset", None)
        if mask is None:
            self.count = torch.zeros_like(self.count)
        else:
            mask = mask.reshape(self.count.shape)
            self.count = torch.where(mask, 0, self.count)
        return self._observe()

    def _masked_step_next(self, tensordict, mask):
        old, mask = self.count, mask.reshape(self.count.shape)
        after = self._step(tensordict)
        self.count = torch.where(mask, self.count, old)
        reward = torch.where(mask, after["reward"], 0.0)
        return after.update(self._observe()).update({"reward": reward})

    def _step(self, tensordict):
        self.count = self.count + 1
        done = self.count >= self.length
        return self._observe().update(
            {
                "reward": self.count.float(),
                "done": done,
                "terminated": done.clone(),
                "truncated": torch.zeros_like(done),
            }
        )

    def _set_seed(self, seed):
        return None


class Team(EnvBase):
    """Two agents under "agents", with their own flags; agent j gets reward j + 1."""

    def __init__(self, batch_size=(), root_done=False):
        super().__init__(batch_size=batch_size)
        b = tuple(batch_size)
        self.root_done = root_done
        group = (*b, 2)
        self.observation_spec = Composite(
            agents=Composite(observation=Unbounded((*group, 3)), shape=group), shape=b
        )
        self.action_spec = Composite(
            agents=Composite(action=Unbounded((*group, 1)), shape=group), shape=b
        )
        self.reward_spec = Composite(
            agents=Composite(reward=Unbounded((*group, 1)), shape=group), shape=b
        )
        flags = {
            name: Binary(shape=(*group, 1), dtype=torch.bool)
            for name in ("done", "terminated", "truncated")
        }
        done = {"agents": Composite(flags, shape=group)}
        if root_done:
            done |= {
                name: Binary(shape=(*b, 1), dtype=torch.bool)
                for name in ("done", "terminated", "truncated")
            }
        self.done_spec = Composite(done, shape=b)
        self.count = torch.zeros(*group, 1)

    def _observe(self):
        group = (*self.batch_size, 2)
        agents = TensorDict({"observation": self.count.expand(*group, 3).clone()}, group)
        return TensorDict({"agents": agents}, self.batch_size)

    def _reset(self, tensordict=None, **kwargs):
        mask = None
        if tensordict is not None:
            mask = tensordict.get("_reset", None)
            if mask is not None:
                mask = mask.unsqueeze(-1)
            else:
                mask = tensordict.get(("agents", "_reset"), None)
        fresh = torch.zeros_like(self.count)
        self.count = fresh if mask is None else torch.where(mask, fresh, self.count)
        return self._observe()

    def _step(self, tensordict):
        self.count = self.count + 1
        group = (*self.batch_size, 2)
        result = self._observe()
        agents = result["agents"]
        agents.set("reward", torch.tensor([[1.0], [2.0]]).expand(*group, 1).clone())
        for name in ("done", "terminated", "truncated"):
            agents.set(name, torch.zeros(*group, 1, dtype=torch.bool))
            if self.root_done:
                result.set(name, torch.zeros(*self.batch_size, 1, dtype=torch.bool))
        return result

    def _set_seed(self, seed):
        return None


class Masked(EnvBase):
    """At count c only action c % 4 is allowed; any other one raises."""

    def __init__(self, batch_size=(), one_hot=False):
        super().__init__(batch_size=batch_size)
        b = tuple(batch_size)
        self.one_hot = one_hot
        self.observation_spec = Composite(
            observation=Unbounded((*b, 1)),
            action_mask=Binary(shape=(*b, 4), dtype=torch.bool),
            shape=b,
        )
        self.action_spec = OneHot(4, shape=(*b, 4)) if one_hot else Categorical(4, shape=b)
        self.reward_spec = Unbounded((*b, 1))
        self.count = torch.zeros(*b, 1, dtype=torch.int64)

    def _observe(self):
        mask = torch.zeros(*self.batch_size, 4, dtype=torch.bool)
        mask.scatter_(-1, self.count % 4, True)
        return TensorDict({"observation": self.count.float(), "action_mask": mask}, self.batch_size)

    def _reset(self, tensordict=None, **kwargs):
        mask = None if tensordict is None else tensordict.get("_reset", None)
        zeros = torch.zeros_like(self.count)
        self.count = zeros if mask is None else torch.where(mask, zeros, self.count)
        return self._observe()

    def _step(self, tensordict):
        action = tensordict["action"]
        if self.one_hot:
            action = action.long().argmax(-1)
        if not torch.equal(action, self.count.squeeze(-1) % 4):
            raise RuntimeError("illegal action")
        self.count = self.count + 1
        done = torch.zeros_like(self.count, dtype=torch.bool)
        return self._observe().update({"reward": torch.ones_like(self.count).float(), "done": done})

    def _set_seed(self, seed):
        return None


@pytest.fixture
def counting():
    return Counting


@pytest.fixture
def team():
    return Team


@pytest.fixture
def masked():
    return Masked
