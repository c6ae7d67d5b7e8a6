"""What a Ray actor runs: one in-process collector, with its weights, seed and state."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import torch
from tensordict import TensorDictBase
from torch import nn

from rl.core import (
    Weights,
    apply_weights,
    rng_state,
    set_rng_state,
    set_seed_everywhere,
    versioned_weights,
)
from rl.envs import SingleCollector

__all__ = ["CollectorWorker"]


class CollectorWorker:
    """A `SingleCollector` in a process of its own.

    Args:
        create_env_fn: makes the env.
        policy: what acts; None for random actions.
        policy_factory: makes the policy here, instead of `policy`.
        options: the other arguments of `SingleCollector`.
        seed: seeds this process before anything is made; None leaves it as it is.

    Example:
        >>> from rl.envs.testing import CountingEnv
        >>> worker = CollectorWorker(CountingEnv, None, None, {"frames_per_batch": 3})
        >>> worker.next()["next", "observation"].flatten()
        tensor([1., 2., 3.])
    """

    def __init__(
        self,
        create_env_fn: Callable[..., Any],
        policy: Any,  # noqa: ANN401 (what `SingleCollector` takes)
        policy_factory: Callable[[], Any] | None,
        options: dict[str, Any],
        seed: int | None = None,
    ) -> None:
        torch.set_num_threads(1)
        if seed is not None:
            set_seed_everywhere(seed)
        self.collector = SingleCollector(
            create_env_fn, policy, policy_factory=policy_factory, **options
        )
        self.version = 0

    def next(self) -> TensorDictBase:
        """Return a batch, stamped with the version of the weights that acted in it."""
        batch = self.collector.next()
        version = torch.full(batch.batch_size, self.version, dtype=torch.int64)
        return batch.set(("collector", "policy_version"), version)

    def weights(self) -> Weights | None:
        """Return the weights that act; None if the policy is no module."""
        policy = self.collector.policy
        return versioned_weights(policy, self.version) if isinstance(policy, nn.Module) else None

    def load_weights(self, weights: Weights) -> int:
        """Load weights into the acting policy and return their version.

        Raises:
            WeightsError: they do not fit, are damaged, or are older than what is loaded.
        """
        self.version = apply_weights(self.collector.policy, weights, current=self.version)
        return self.version

    def set_seed(self, seed: int, static_seed: bool = False) -> int:
        """Seed this process and its env; return the next seed of the chain."""
        set_seed_everywhere(seed)
        return self.collector.set_seed(seed, static_seed)

    def state_dict(self) -> dict[str, Any]:
        """Return what resumes the collection here exactly."""
        return {
            "collector": self.collector.state_dict(),
            "rng": rng_state(),
            "version": self.version,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on exactly from a `state_dict`."""
        self.collector.load_state_dict(state_dict["collector"])
        self.version = state_dict["version"]
        set_rng_state(state_dict["rng"])

    def frames_per_batch(self) -> int:
        """Return how many transitions a batch holds, rounded up to whole steps of all envs."""
        return self.collector.frames_per_batch

    def pid(self) -> int:
        """Return the id of this process."""
        return os.getpid()

    def shutdown(self) -> None:
        """Close the env."""
        self.collector.shutdown()
