"""`SerialEnv`: several envs in this process, behind one batched interface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from rl.envs.vector.backend import LocalBackend
from rl.envs.vector.batched import BatchedEnvBase, EnvMaker

__all__ = ["SerialEnv"]


class SerialEnv(BatchedEnvBase):
    """Steps its envs one after the other, in this process.

    Results are those of `ParallelEnv` with the same seed. Envs that wear the same transform, one
    that can act on a batch (`Transform.batchable`), share a single one, run on the whole batch.

    Args:
        num_workers: the number of envs.
        create_env_fn: builds one env (a function, a class, an `EnvCreator`); or a list, one per
            env.
        create_env_kwargs: keyword arguments of `create_env_fn`; or a list with a dict per env.
        device: where results are delivered.
        hoist_transforms: whether a transform that all envs wear may run once, on the batch.

    Reads:
        action: [num_workers, *B, ...].
    Writes:
        what the envs write, with a leading dim `num_workers`.

    Raises:
        RLError: when the counts of functions, dicts and envs differ.

    Example:
        >>> from rl.envs import GymEnv
        >>> env = SerialEnv(2, lambda: GymEnv("CartPole-v1"))
        >>> env.rollout(3)["observation"].shape
        torch.Size([2, 3, 4])
    """

    def __init__(
        self,
        num_workers: int,
        create_env_fn: EnvMaker | Sequence[EnvMaker],
        *,
        create_env_kwargs: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        device: torch.device | str | int | None = None,
        hoist_transforms: bool = True,
    ) -> None:
        super().__init__(
            num_workers,
            create_env_fn,
            LocalBackend,
            create_env_kwargs=create_env_kwargs,
            device=device,
            hoist_transforms=hoist_transforms,
        )

    def __getitem__(self, index: int) -> Any:  # noqa: ANN401
        """Return one of the envs (without the transform that all of them share)."""
        if not -self.num_workers <= index < self.num_workers:
            raise IndexError(f"There is no env {index}: the vector env has {self.num_workers}.")
        return self.backend.group.envs[index]
